"""A build as other programs know it: a grid of their own kinds of blocks."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt16

from voxsds.world.maps import MAX_VOXELS

MAX_CELLS = 2 * MAX_VOXELS  # that are read; more than can be optimised, so that a part can be cut out
MAX_KINDS = 2**16

Shape = tuple[int, int, int]


class Kind(NamedTuple):
    """One kind of block."""

    name: str  # "minecraft:oak_log[axis=y]", or "#8a6f4d" where the format knows colours only
    color: tuple[float, float, float] | None = None  # 0..1 as displayed


@dataclass(frozen=True, eq=False)
class Build:
    """Axes as everywhere here: x east, y up, z south."""

    cells: UInt16[np.ndarray, "X Y Z"]  # index into `kinds`
    kinds: tuple[Kind, ...]
    notes: tuple[str, ...] = ()  # what the file holds that a grid of blocks cannot, for people


class Box(NamedTuple):
    """A part of a grid: from `low` up to, but not including, `high`."""

    low: Shape
    high: Shape

    @property
    def shape(self) -> Shape:
        x, y, z = (high - low for low, high in zip(self.low, self.high, strict=True))
        return x, y, z


def check_shape(shape: Shape, where: str) -> Shape:
    """`shape`, if a grid of it can be read; ValueError otherwise, before memory is taken for it."""
    if min(shape) < 1:
        raise ValueError(f"{where}: a size of {shape} holds no blocks; save the build again")
    cells = shape[0] * shape[1] * shape[2]
    if cells > MAX_CELLS:
        raise ValueError(
            f"{where}: {shape[0]} x {shape[1]} x {shape[2]} is {cells:,} blocks, up to {MAX_CELLS:,} can be "
            "read; save a smaller part of the build"
        )
    return shape


def joined_kinds(
    index_of: dict[Kind, int], kinds: tuple[Kind, ...], where: str
) -> UInt16[np.ndarray, " kinds"]:
    """Index in a common table, to which new ones are added, of each of `kinds`."""
    table = [index_of.setdefault(kind, len(index_of)) for kind in kinds]
    if len(index_of) > MAX_KINDS:
        raise ValueError(f"{where}: more than {MAX_KINDS} kinds of blocks; save a smaller part of the build")
    return np.array(table, np.uint16)


def bounding_box(filled: Bool[np.ndarray, "X Y Z"]) -> Box | None:
    """The smallest box that holds all that is filled; None where nothing is."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(filled.any(axis=others))
        if not where.size:
            return None
        spans.append((int(where[0]), int(where[-1]) + 1))
    (x0, x1), (y0, y1), (z0, z1) = spans
    return Box((x0, y0, z0), (x1, y1, z1))


def cropped(build: Build, box: Box) -> Build:
    """The part of `build` in `box`; ValueError where there is no such part."""
    shape = build.cells.shape
    inside = zip(box.low, box.high, shape, strict=True)
    if not all(0 <= low < high <= side for low, high, side in inside):
        raise ValueError(
            f"crop from {box.low} to {box.high} is not inside the build of {shape[0]} x {shape[1]} x "
            f"{shape[2]} blocks; give x0,y0,z0,x1,y1,z1 with 0 <= x0 < x1 <= {shape[0]} and so on"
        )
    x, y, z = (slice(low, high) for low, high in zip(box.low, box.high, strict=True))
    return replace(build, cells=build.cells[x, y, z])
