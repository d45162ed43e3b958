"""Litematica's schematics (.litematic): named regions, each with its own palette and packed indices.

https://github.com/maruohon/litematica. Cells run x fastest, then z, then y; an index has
max(2, ceil(log2(kinds))) bits and may lie across two 64-bit numbers.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer, UInt16

from voxsds.formats.build import Build, Kind, Shape, check_shape, joined_kinds
from voxsds.formats.nbt import field, read_nbt
from voxsds.formats.nbtwriter import write_nbt
from voxsds.formats.states import DATA_VERSION, extras, palette_tags, read_palette
from voxsds.formats.tags import Compound

AXES = ("x", "y", "z")
AIR = Kind("minecraft:air")
VERSION = np.int32(5)  # read by Litematica since Minecraft 1.13
MAX_REGIONS = 4096
_CHUNK = 2**18  # indices unpacked at a time, a multiple of 64: chunks begin where 64-bit numbers do
_LEFT_OUT = {
    "TileEntities": "block entities (contents of chests, texts of signs, ...)",
    "Entities": "entities",
    "PendingBlockTicks": "pending block ticks",
    "PendingFluidTicks": "pending fluid ticks",
}


class _Region(NamedTuple):
    name: str
    corner: Shape  # the lowest, in the file's coordinates
    shape: Shape
    tags: Compound


def read(path: Path) -> Build:
    """Reads all regions of a .litematic file into one grid; where they overlap, the last has its way."""
    root = read_nbt(path)
    regions = [_region(name, tags, path) for name, tags in field(root, "Regions", dict, str(path)).items()]
    if not 0 < len(regions) <= MAX_REGIONS:
        raise ValueError(f"{path}: {len(regions)} regions; 1 to {MAX_REGIONS} can be read")
    low = np.min([region.corner for region in regions], axis=0)
    high = np.max([np.add(region.corner, region.shape) for region in regions], axis=0)
    x, y, z = (int(side) for side in high - low)
    volume = sum(int(np.prod(region.shape)) for region in regions)
    check_shape((volume, 1, 1), f"{path}: the regions together")
    cells = np.zeros(check_shape((x, y, z), str(path)), np.uint16)
    index_of, notes = {AIR: 0}, ()
    for region in regions:
        own, kinds = _cells(region, f"{path}: region {region.name!r}")
        table = joined_kinds(index_of, kinds, str(path))
        part = tuple(slice(a, a + b) for a, b in zip(region.corner - low, region.shape, strict=True))
        cells[part] = np.where(
            table[own] != 0, table[own], cells[part]
        )  # air covers no other region's blocks
        notes += extras(region.tags, _LEFT_OUT)
    return Build(cells, tuple(index_of), notes)


def _region(name: str, tags: object, path: Path) -> _Region:
    where = f"{path}: region {name!r}"
    if not isinstance(tags, dict):
        raise ValueError(f"{where} is no compound; save the build again")
    position, size = field(tags, "Position", dict, where), field(tags, "Size", dict, where)
    corner, shape = [], []
    for axis in AXES:
        at, side = field(position, axis, int, where), field(size, axis, int, where)
        corner.append(at if side > 0 else at + side + 1)  # a negative size runs down from the position
        shape.append(abs(side))
    x, y, z = shape
    return _Region(name, (corner[0], corner[1], corner[2]), check_shape((x, y, z), where), tags)


def _cells(region: _Region, where: str) -> tuple[UInt16[np.ndarray, "X Y Z"], tuple[Kind, ...]]:
    kinds = read_palette(field(region.tags, "BlockStatePalette", list, where), f"{where}: BlockStatePalette")
    numbers = field(region.tags, "BlockStates", np.ndarray, where)
    if numbers.dtype != np.int64:
        raise ValueError(f"{where}: BlockStates is no array of 64-bit numbers; save the build again")
    x, y, z = region.shape
    cells = unpack_indices(numbers, bits_for(len(kinds)), x * y * z, f"{where}: BlockStates")
    if cells.max() >= len(kinds):
        raise ValueError(f"{where}: BlockStates has a block of kind {cells.max()}, the palette ends at "
                         f"{len(kinds) - 1}; save the build again")  # fmt: skip
    return cells.reshape(y, z, x).transpose(2, 0, 1), kinds


def write(path: Path, build: Build) -> list[Path]:
    """Writes a .litematic file of one region."""
    x, y, z = build.cells.shape
    kinds = (AIR, *(kind for kind in build.kinds if kind != AIR))  # the format wants air first
    table = np.array([kinds.index(kind) for kind in build.kinds], np.uint16)
    cells = table[build.cells].transpose(1, 2, 0).reshape(-1)
    size = {axis: np.int32(side) for axis, side in zip(AXES, (x, y, z), strict=True)}
    region = {
        "Position": {axis: np.int32(0) for axis in AXES},
        "Size": size,
        "BlockStatePalette": palette_tags(kinds),
        "BlockStates": pack_indices(cells, bits_for(len(kinds))),
        **{key: [] for key in _LEFT_OUT},
    }
    root = {
        "Version": VERSION,
        "MinecraftDataVersion": DATA_VERSION,
        "Metadata": {
            "Name": path.stem,
            "Author": "voxsds",
            "Description": "",
            "EnclosingSize": size,
            "RegionCount": np.int32(1),
            "TotalBlocks": np.int32((cells != 0).sum()),
            "TotalVolume": np.int32(cells.size),
            "TimeCreated": np.int64(0),  # a clock would make equal worlds differ
            "TimeModified": np.int64(0),
        },
        "Regions": {path.stem: region},
    }
    write_nbt(path, root)
    return [path]


def bits_for(kinds: int) -> int:
    """Bits of an index into a palette of that many; 2 for 1 to 4, 3 for 5."""
    return max(2, (kinds - 1).bit_length())


def unpack_indices(
    numbers: Int64[np.ndarray, " longs"], bits: int, count: int, where: str
) -> UInt16[np.ndarray, " count"]:
    """`count` indices of `bits` bits each, the lowest bits first."""
    if len(numbers) != -(-count * bits // 64):
        raise ValueError(
            f"{where} has {len(numbers):,} numbers; {count:,} blocks of {bits} bits are "
            f"{-(-count * bits // 64):,}. Get the file again"
        )
    indices, weights = np.empty(count, np.uint16), (1 << np.arange(bits)).astype(np.uint16)
    data = numbers.astype("<i8").view(np.uint8)
    for at in range(0, count, _CHUNK):
        here = min(_CHUNK, count - at)
        chunk = np.unpackbits(data[at * bits // 8 :], count=here * bits, bitorder="little")
        indices[at : at + here] = chunk.reshape(here, bits) @ weights
    return indices


def pack_indices(indices: Integer[np.ndarray, " count"], bits: int) -> Int64[np.ndarray, " longs"]:
    """The inverse of `unpack_indices`."""
    numbers = np.zeros(-(-len(indices) * bits // 64) * 8, np.uint8)
    for at in range(0, len(indices), _CHUNK):
        chunk = indices[at : at + _CHUNK, None] >> np.arange(bits) & 1
        packed = np.packbits(chunk.astype(np.uint8), bitorder="little")
        numbers[at * bits // 8 :][: len(packed)] = packed
    return numbers.view("<i8").astype(np.int64)
