"""NBT, the binary tree of Minecraft's files, read within bounds.

Readers in general use trust what a file says of its own length and depth, and a few bytes of a strange file
take all memory. This one does not. tags.py says what becomes of which tag.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from voxsds.formats.tags import (
    ARRAYS,
    BYTE,
    COMPOUND,
    DOUBLE,
    END,
    FLOAT,
    INT,
    LENGTH,
    LENGTH_OF_TEXT,
    LIST,
    LONG,
    NUMBERS,
    SHORT,
    STRING,
    Compound,
    decoded_text,
    row_fields,
    row_layout,
)

MAX_BYTES = 64 * 2**20  # of a file, unpacked
MAX_TAGS = 1_500_000  # one piece of 48^3 blocks of a structure has 660,000
MAX_DEPTH = 64  # compounds and lists within each other
MANY = 64  # compounds from which on it pays to read them as rows

T = TypeVar("T")


def read_nbt(path: Path | str) -> Compound:
    """The root of an NBT file, packed by gzip or zlib or not at all; ValueError where it is not sound."""
    data = unpacked(path)
    if data[:1] != bytes([COMPOUND]):
        raise ValueError(f"{path}: not an NBT file; is it what its name says? Save it again")
    reader = _Reader(data, str(path))
    reader.at = 1
    reader.text()  # the root's name means nothing
    return reader.compound(0)


def unpacked(path: Path | str) -> bytes:
    """The contents of a file without its gzip or zlib packing; ValueError past `MAX_BYTES`."""
    with Path(path).open("rb") as stream:
        packed = stream.read(MAX_BYTES + 1)
    if packed[:2] != b"\x1f\x8b" and packed[:1] != b"\x78":
        return _small_enough(packed, path)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as the header says
    try:
        data = unpacker.decompress(packed, MAX_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"{path}: damaged ({error}); get the file again") from error
    _small_enough(data, path)
    if not unpacker.eof:
        raise ValueError(f"{path}: cut off inside its packed data; get the file again")
    return data


def _small_enough(data: bytes, path: Path | str) -> bytes:
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"{path}: more than {MAX_BYTES >> 20} MiB unpacked; save a smaller part of the build"
        )
    return data


def field(compound: Compound, key: str, kind: type[T], where: str) -> T:
    """`compound[key]`, which must be a `kind`; `int` stands for a number of any width."""
    value = compound.get(key)
    if kind is int and isinstance(value, np.integer):
        return int(value)  # type: ignore[return-value]  # T is int
    if not isinstance(value, kind):
        found = f"is {_named(value)}" if key in compound else "is missing"
        raise ValueError(f"{where}: {key} {found}, {_KINDS[kind]} is needed; save the build again")
    return value


_KINDS = {int: "a whole number", str: "a text", dict: "a compound", list: "a list", np.ndarray: "an array"}


def _named(value: Any) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "another kind of tag")


class _Reader:
    """A place in NBT data; methods read what stands there and move on."""

    def __init__(self, data: bytes, where: str):
        self.data = data
        self.where = where
        self.at = 0
        self.tags = 0

    def compound(self, depth: int) -> Compound:
        result: Compound = {}
        while (tag := self._byte()) != END:
            name = self.text()
            result[name] = self._value(tag, depth + 1)
        return result

    def text(self) -> str:
        (length,) = self._numbers(LENGTH_OF_TEXT)
        try:
            return decoded_text(self._take(length))
        except UnicodeError:
            raise self._unsound("text that is not UTF-8") from None

    def _value(self, tag: int, depth: int) -> Any:
        self._count(1)
        if depth > MAX_DEPTH:
            raise self._unsound(f"tags nested more than {MAX_DEPTH} deep")
        if unpack := _UNPACK.get(tag):
            layout, number = unpack
            return number(self._numbers(layout)[0])
        if tag in ARRAYS:
            return self._array(ARRAYS[tag], self._length())
        if tag == STRING:
            return self.text()
        if tag == COMPOUND:
            return self.compound(depth)
        if tag == LIST:
            return self._list(depth)
        raise self._unsound(f"a tag of type {tag}")

    def _list(self, depth: int) -> list[Any] | np.ndarray:
        tag, length = self._byte(), self._length()
        if length == 0:
            return []
        # An entry of one byte can stand for hundreds in memory, so entries count as tags do.
        self._count(length)
        if tag in NUMBERS:
            return list(self._array(NUMBERS[tag], length))
        if tag == COMPOUND and length >= MANY and (rows := self._rows(length, depth + 1)) is not None:
            return rows
        return [self._value(tag, depth + 1) for _ in range(length)]

    def _rows(self, length: int, depth: int) -> np.ndarray | None:
        """`length` compounds at once; None, and nothing read, where they do not all look like the first."""
        start = self.at
        fields = row_fields(self.compound(depth))
        size, self.at = self.at - start, start
        if fields is None or size * length > len(self.data) - start:
            return None
        rows = np.empty(length, fields)
        layout, heads = row_layout(rows.dtype)
        if layout.itemsize != size:  # a name stood twice in it, say
            return None
        table = np.frombuffer(self.data, layout, length, start)
        if any((table[f"head {i}"] != head).any() for i, head in enumerate(heads)) or table["end"].any():
            return None
        for i, (name, *_) in enumerate(fields):
            rows[name] = table[f"numbers {i}"]
        self.at += size * length
        return rows

    def _array(self, code: str, length: int) -> np.ndarray:
        kind = np.dtype(code)
        found = np.frombuffer(self._take(length * kind.itemsize), dtype=kind)
        return found.astype(kind.newbyteorder("="))

    def _length(self) -> int:
        (length,) = self._numbers(LENGTH)
        if length < 0:
            raise self._unsound(f"a length of {length}")
        return length

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise self._cut_off()
        self.at += 1
        return self.data[self.at - 1]

    def _numbers(self, layout: struct.Struct) -> tuple:
        try:
            numbers = layout.unpack_from(self.data, self.at)
        except struct.error:
            raise self._cut_off() from None
        self.at += layout.size
        return numbers

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise self._cut_off()
        self.at += size
        return self.data[self.at - size : self.at]

    def _count(self, tags: int) -> None:
        self.tags += tags
        if self.tags > MAX_TAGS:
            raise ValueError(
                f"{self.where}: more than {MAX_TAGS:,} tags, too many to read; save a smaller part"
            )

    def _cut_off(self) -> ValueError:
        return ValueError(f"{self.where}: ends in the middle of a tag; get the file again")

    def _unsound(self, what: str) -> ValueError:
        return ValueError(f"{self.where}: byte {self.at} of the NBT data: {what}; save the build again")


_UNPACK: dict[int, tuple[struct.Struct, Callable[[Any], np.generic]]] = {
    BYTE: (struct.Struct(">b"), np.int8),
    SHORT: (struct.Struct(">h"), np.int16),
    INT: (struct.Struct(">i"), np.int32),
    LONG: (struct.Struct(">q"), np.int64),
    FLOAT: (struct.Struct(">f"), np.float32),
    DOUBLE: (struct.Struct(">d"), np.float64),
}
