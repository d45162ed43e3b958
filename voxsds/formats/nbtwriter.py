"""Writing NBT files."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from voxsds.files.disk import write_bytes
from voxsds.formats.tags import (
    ARRAYS,
    COMPOUND,
    END,
    LENGTH,
    LIST,
    NUMBERS,
    STRING,
    Compound,
    encoded_text,
    row_layout,
)

_NUMBER_TAG = {np.dtype(code).newbyteorder("="): tag for tag, code in NUMBERS.items()}
_ARRAY_TAG = {np.dtype(code).newbyteorder("="): tag for tag, code in ARRAYS.items()}


def write_nbt(path: Path | str, root: Compound, name: str = "") -> None:
    """Writes a gzip-packed NBT file atomically; equal trees give equal bytes.

    TypeError for a value that is no tag: a mistake of ours, not of a file.
    """
    write_bytes(path, gzip.compress(bytes([COMPOUND]) + encoded_text(name) + _payload(root), 6, mtime=0))


def _tag(value: Any) -> int:
    match value:
        case np.generic():
            return _NUMBER_TAG[value.dtype]
        case np.ndarray():
            return LIST if value.dtype.names else _ARRAY_TAG[value.dtype]
        case str():
            return STRING
        case dict():
            return COMPOUND
        case list():
            return LIST
    raise TypeError(f"{type(value).__name__} is no NBT tag; give numpy numbers, text, lists, dicts or arrays")


def _payload(value: Any) -> bytes:
    match value:
        case np.generic():
            return np.array(value, value.dtype.newbyteorder(">")).tobytes()
        case np.ndarray():
            if value.dtype.names:
                return _records(value)
            return LENGTH.pack(value.size) + value.astype(value.dtype.newbyteorder(">")).tobytes()
        case str():
            return encoded_text(value)
        case dict():
            named = (
                bytes([_tag(item)]) + encoded_text(name) + _payload(item) for name, item in value.items()
            )
            return b"".join(named) + bytes([END])
    tag = _tag(value[0]) if value else END
    if any(_tag(item) != tag for item in value):
        raise TypeError("the entries of an NBT list must all be tags of one type")
    return bytes([tag]) + LENGTH.pack(len(value)) + b"".join(map(_payload, value))


def _records(rows: np.ndarray) -> bytes:
    """A structured array as a list of compounds, one a row."""
    layout, heads = row_layout(rows.dtype)
    table = np.zeros(len(rows), layout)
    for i, (name, head) in enumerate(zip(rows.dtype.names or (), heads, strict=True)):
        table[f"head {i}"], table[f"numbers {i}"] = head, rows[name]
    return bytes([COMPOUND]) + LENGTH.pack(len(rows)) + table.tobytes()
