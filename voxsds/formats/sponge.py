"""Sponge schematics (.schem), versions 2 and 3: what WorldEdit and most servers exchange.

https://github.com/SpongePowered/Schematic-Specification. Cells run x fastest, then z, then y.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8, UInt16

from voxsds.formats.build import MAX_KINDS, Build, Kind, check_shape
from voxsds.formats.nbt import field, read_nbt
from voxsds.formats.nbtwriter import write_nbt
from voxsds.formats.states import DATA_VERSION, extras
from voxsds.formats.tags import Compound

VERSIONS = (2, 3)
_CHUNK = 2**22  # bytes decoded at a time: the index arrays are 16 times as large
_LONGEST = 3  # bytes of a number up to MAX_KINDS


def read(path: Path) -> Build:
    """The build in a .schem file; ValueError where it is not sound or of another version."""
    root = read_nbt(path)
    root = root["Schematic"] if isinstance(root.get("Schematic"), dict) else root
    version = field(root, "Version", int, str(path))
    if version not in VERSIONS:
        raise ValueError(f"{path}: Sponge schematic version {version} is not known, {VERSIONS} are; "
                         "load it in WorldEdit and save it again")  # fmt: skip
    width, height, length = (
        field(root, key, int, str(path)) & 0xFFFF for key in ("Width", "Height", "Length")
    )
    check_shape((width, height, length), str(path))
    blocks, data_key = (
        (root, "BlockData") if version == 2 else (field(root, "Blocks", dict, str(path)), "Data")
    )
    kinds = _kinds(field(blocks, "Palette", dict, str(path)), f"{path}: Palette")
    data = field(blocks, data_key, np.ndarray, str(path))
    if data.dtype != np.int8:
        raise ValueError(f"{path}: {data_key} is no array of bytes; save the build again")
    cells = unpack_numbers(data.view(np.uint8), width * height * length, f"{path}: {data_key}")
    if cells.max() >= len(kinds):
        raise ValueError(f"{path}: {data_key} has a block of kind {cells.max()}, "
                         f"Palette ends at {len(kinds) - 1}; save the build again")  # fmt: skip
    notes = extras(blocks, {"BlockEntities": "block entities (contents of chests, texts of signs, ...)"})
    notes += extras(root, {"Entities": "entities"})
    return Build(cells.reshape(height, length, width).transpose(2, 0, 1), kinds, notes)


def _kinds(palette: Compound, where: str) -> tuple[Kind, ...]:
    """The palette is a compound from state to index, in any order, and may have gaps."""
    index_of = {name: field(palette, name, int, where) for name in palette}
    last = max(index_of.values(), default=-1)
    if min(index_of.values(), default=-1) < 0 or last >= MAX_KINDS:
        raise ValueError(f"{where} has indices outside 0 to {MAX_KINDS - 1}; save the build again")
    names = ["(a number that the palette does not name)"] * (last + 1)
    for name, index in index_of.items():
        names[index] = name
    return tuple(map(Kind, names))


def write(path: Path, build: Build, version: int = 2) -> list[Path]:
    """Writes a .schem file; version 2 is what the most programs read."""
    sides = dict(zip(("Width", "Height", "Length"), build.cells.shape, strict=True))
    if max(sides.values()) > 0xFFFF:
        raise ValueError(f"{path}: a side of {max(sides.values())} blocks does not fit the format; crop it")
    palette = {kind.name: np.int32(i) for i, kind in enumerate(build.kinds)}
    data = pack_numbers(build.cells.transpose(1, 2, 0).reshape(-1)).view(np.int8)
    root: Compound = {
        "Version": np.int32(version),
        "DataVersion": DATA_VERSION,
        **{key: np.uint16(side).view(np.int16) for key, side in sides.items()},
        "Offset": np.zeros(3, np.int32),
        "Metadata": {"WEOffsetX": np.int32(0), "WEOffsetY": np.int32(0), "WEOffsetZ": np.int32(0)},
    }
    if version == 2:
        root |= {"PaletteMax": np.int32(len(palette)), "Palette": palette, "BlockData": data}
        write_nbt(path, root | {"BlockEntities": [], "Entities": []}, name="Schematic")
    elif version == 3:
        root |= {"Blocks": {"Palette": palette, "Data": data, "BlockEntities": []}, "Entities": []}
        write_nbt(path, {"Schematic": root})
    else:
        raise ValueError(f"Sponge schematic version {version} is not known; choose one of {VERSIONS}")
    return [path]


def unpack_numbers(data: UInt8[np.ndarray, " bytes"], count: int, where: str) -> UInt16[np.ndarray, " count"]:
    """`count` variable-length numbers: seven bits a byte, lowest first, the eighth says that more follow.

    300 is (0xAC, 0x02). ValueError where there are more or fewer, or one is too large for a palette.
    """
    numbers, done, at = np.empty(count, np.uint16), 0, 0
    while at < len(data):
        chunk = data[at : at + _CHUNK]
        ends = np.flatnonzero(chunk < 128)
        starts = np.concatenate([[0], ends[:-1] + 1])
        sizes = ends - starts[: len(ends)] + 1
        if not ends.size or sizes.max() > _LONGEST:
            raise ValueError(f"{where}: byte {at}: a number that does not end; save the build again")
        if done + len(ends) > count:
            raise ValueError(
                f"{where} holds more than the {count:,} blocks of the size; save the build again"
            )
        values = np.zeros(len(ends), np.int32)
        for byte in range(sizes.max()):
            there = sizes > byte
            values[there] |= (chunk[starts[there] + byte] & 127).astype(np.int32) << 7 * byte
        if values.max() >= MAX_KINDS:
            raise ValueError(f"{where} has a block of kind {values.max()}; save the build again")
        numbers[done : done + len(ends)] = values
        done, at = done + len(ends), at + int(ends[-1]) + 1
    if done < count:
        raise ValueError(f"{where} holds {done:,} of the {count:,} blocks of the size; get the file again")
    return numbers


def pack_numbers(numbers: Integer[np.ndarray, " count"]) -> UInt8[np.ndarray, " bytes"]:
    """The inverse of `unpack_numbers`."""
    if numbers.max(initial=0) < 128:  # a byte each: what nearly every world is
        return numbers.astype(np.uint8)
    bits = numbers.astype(np.uint32)[:, None] >> np.array([0, 7, 14], np.uint32)
    needed = np.array([True, False, False]) | (bits > 0)
    follows = np.pad(needed[:, 1:], ((0, 0), (0, 1)))
    return (bits & 127 | follows.astype(np.uint32) << 7).astype(np.uint8)[needed]
