"""The tags of NBT, and the two of its encodings that reading and writing share.

The type of a value says which tag it is: np.int8, int16, int32, int64, float32 and float64 are the numbers,
str the text, dict the compound, list the list, an array of int8, int32 or int64 the array. A structured
array, of int32 and rows of int32, is a list of compounds that all look alike, such as the blocks of a
structure. All numbers are big-endian.
"""

import struct
from typing import Any

import numpy as np

END, BYTE, SHORT, INT, LONG, FLOAT, DOUBLE, BYTES, STRING, LIST, COMPOUND, INTS, LONGS = range(13)
NUMBERS = {BYTE: ">i1", SHORT: ">i2", INT: ">i4", LONG: ">i8", FLOAT: ">f4", DOUBLE: ">f8"}
ARRAYS = {BYTES: ">i1", INTS: ">i4", LONGS: ">i8"}

LENGTH, LENGTH_OF_TEXT = struct.Struct(">i"), struct.Struct(">H")
Compound = dict[str, Any]


def encoded_text(text: str) -> bytes:
    """Length and bytes, as Java spells text: NUL in two bytes, and characters past 16 bits as two surrogates.

    ValueError where it does not fit the length's 16 bits.
    """
    units = text.encode("utf-16-be", "surrogatepass")
    spelled = "".join(chr(unit) for (unit,) in struct.iter_unpack(">H", units))
    data = spelled.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
    if len(data) > 0xFFFF:
        raise ValueError(f"text of {len(data)} bytes does not fit an NBT file: {text[:40]!r}...; shorten it")
    return LENGTH_OF_TEXT.pack(len(data)) + data


def decoded_text(data: bytes) -> str:
    """The text in bytes as Java spells them, without the length; UnicodeError where they are none."""
    if data.isascii():
        return data.decode("ascii")
    units = data.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


def row_layout(rows: np.dtype) -> tuple[np.dtype, list[bytes]]:
    """The bytes of a compound that is a row of a structured array, and those before each field's numbers."""
    layout, heads = [], []
    for i, name in enumerate(rows.names or ()):
        shape = rows[name].shape
        listed = bytes([INT]) + LENGTH.pack(*shape) if shape else b""
        heads.append(bytes([LIST if shape else INT]) + encoded_text(name) + listed)
        layout += [(f"head {i}", f"S{len(heads[i])}"), (f"numbers {i}", ">i4", shape)]
    return np.dtype([*layout, ("end", "u1")]), heads


def row_fields(first: Compound) -> list[tuple[str, Any, tuple[int, ...]]] | None:
    """The fields of a structured array with rows like `first`; None where it holds more than int32."""
    fields = []
    for name, value in first.items():
        numbers = value if isinstance(value, list) and value else [value]
        if not name or any(type(number) is not np.int32 for number in numbers):
            return None
        fields.append((name, np.int32, (len(value),) if isinstance(value, list) else ()))
    return fields or None
