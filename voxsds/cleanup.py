"""What is tidied after the training: floating parts, holes one voxel wide; speckles have their own module.

Every function changes `blocks` in place, within the limits of the edit, and says how much. What cannot be
settled within the limits still floats; `undo_floating` then takes back the changes that made it so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Integer

from voxsds.adjacency import Group, beside, components, grown
from voxsds.edit import Limits
from voxsds.materials import AIR
from voxsds.metrics import floating

Blocks = Integer[np.ndarray, "X Y Z"]
Mask = Bool[np.ndarray, "X Y Z"]
Column = tuple[int, int, int]  # x, y and z of the lowest block of a group in one column


@dataclass(frozen=True)
class Settling:
    """What happens to groups of blocks that float, by their size and height."""

    crumb_blocks: int  # groups of up to this many blocks are dropped
    support_gap: int  # larger groups that hang up to this high over something are joined to it
    stray_blocks: int  # of the others those of up to this many blocks are dropped, and larger ones fall


@dataclass(frozen=True)
class Settled:
    """How many groups were dropped, propped and let fall, and how many blocks that took."""

    groups_dropped: int = 0
    blocks_dropped: int = 0
    groups_supported: int = 0
    blocks_supporting: int = 0  # added under these groups
    groups_fallen: int = 0
    blocks_fallen: int = 0

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def new_floaters(blocks: Blocks, initial: Blocks) -> Iterator[Group]:
    """The floating groups of `blocks`, but for those with a block that floated in `initial`."""
    floated = floating(initial)
    for group in components(floating(blocks)):
        if not floated[group].any():
            yield group


def drop(blocks: Blocks, initial: Blocks, limits: Limits) -> Settled:
    """Removes every new floating group."""
    total = Settled()
    for group in list(new_floaters(blocks, initial)):
        total += _first_allowed([_dropped(blocks, group)], blocks, initial, limits)
    return total


def settle(blocks: Blocks, initial: Blocks, settings: Settling, limits: Limits) -> Settled:
    """No new group floats: crumbs and strays go, what hangs low is propped, the rest falls until it rests.

    One group after another, the lowest first, so that the next may come to rest on it.
    """
    total = Settled()
    for group in sorted(new_floaters(blocks, initial), key=lambda group: group[1].min()):
        afloat = floating(blocks)
        if not afloat[group].any():
            continue  # one that was settled before it holds it
        size = len(group[0])
        gap, columns = gap_under(group, (blocks != AIR) & ~afloat)
        if size > settings.crumb_blocks and gap <= settings.support_gap:
            ways = [_supported(blocks, initial, columns, gap), _fallen(blocks, group)]
        elif size <= max(settings.crumb_blocks, settings.stray_blocks):
            ways = [_dropped(blocks, group)]
        else:
            ways = [_fallen(blocks, group)]
        total += _first_allowed(ways, blocks, initial, limits)
    return total


def _first_allowed(
    ways: list[tuple[Blocks, Settled]], blocks: Blocks, initial: Blocks, limits: Limits
) -> Settled:
    """Makes `blocks` the first of the worlds in `ways` that breaks no limit, if any does."""
    for settled, count in ways:
        if not limits.broken(settled, initial).any():
            blocks[...] = settled
            return count
    return Settled()


def _dropped(blocks: Blocks, group: Group) -> tuple[Blocks, Settled]:
    """The world without the group."""
    out = blocks.copy()
    out[group] = AIR
    return out, Settled(groups_dropped=1, blocks_dropped=len(group[0]))


def _supported(blocks: Blocks, initial: Blocks, columns: list[Column], gap: int) -> tuple[Blocks, Settled]:
    """The world with `gap` blocks under each column: the map's own where it has any, else as above."""
    out = blocks.copy()
    for x, lowest, z in columns:
        for y in range(lowest - 1, lowest - 1 - gap, -1):
            out[x, y, z] = initial[x, y, z] or out[x, y + 1, z]
    return out, Settled(groups_supported=1, blocks_supporting=gap * len(columns))


def _fallen(blocks: Blocks, group: Group) -> tuple[Blocks, Settled]:
    """The world with the group as far down as it falls: onto a block, or onto the lowest layer."""
    out, (x, y, z) = blocks.copy(), group
    out[group] = AIR
    floor = int(np.flatnonzero(out.any(axis=(0, 2)))[0])
    fallen = 0
    while y.min() - fallen > floor and (out[x, y - fallen - 1, z] == AIR).all():
        fallen += 1
    out[x, y - fallen, z] = blocks[group]
    return out, Settled(groups_fallen=1, blocks_fallen=len(x))


def gap_under(group: Group, grounded: Mask) -> tuple[int, list[Column]]:
    """The least height of `group` over what does not float, and its columns of that height.

    Where nothing is beneath, the height is that over the bottom of the lowest layer.
    """
    floor = int(np.flatnonzero(grounded.any(axis=(0, 2)))[0])
    lowest: dict[tuple[int, int], int] = {}
    for x, y, z in zip(*(axis.tolist() for axis in group), strict=True):
        lowest[x, z] = min(y, lowest.get((x, z), y))
    gaps: dict[Column, int] = {}
    for (x, z), y in lowest.items():
        beneath = np.flatnonzero(grounded[x, :y, z])
        gaps[x, y, z] = y - (int(beneath[-1]) + 1 if len(beneath) else floor)
    least = min(gaps.values())
    return least, [column for column, gap in gaps.items() if gap == least]


def undo_floating(blocks: Blocks, initial: Blocks) -> int:
    """Takes changes back until nothing floats that did not float in `initial`; returns how many.

    Of a floating group its own changes and those at its faces: a block that was built goes, one whose
    support was dug away gets it back. Each round takes back at least one change, and with none left
    nothing new floats, so it ends. No block of `blocks` may lie below the lowest of `initial`.
    """
    undone = 0
    while groups := list(new_floaters(blocks, initial)):
        around = np.zeros(blocks.shape, dtype=bool)
        for group in groups:
            around[group] = True
        taken_back = grown(around) & (blocks != initial)
        assert taken_back.any(), "a group floats that no change set afloat"
        blocks[taken_back] = initial[taken_back]
        undone += int(taken_back.sum())
    return undone


def fill_holes(blocks: Blocks, initial: Blocks, limits: Limits) -> int:
    """Fills holes one voxel wide that the training left, a pit or a missing brick; returns how many.

    An empty voxel with blocks at all its faces but one. It gets the material that most of these blocks
    have. A hole that the map itself has, with the same blocks around, stays; so does one that is closed
    all around, which nobody sees.
    """
    solid = blocks != AIR
    closed = np.pad(solid, 1)
    closed[:, 0] = True  # below the grid is ground
    faces = [np.roll(closed, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
    holes = ~solid & (np.sum(faces, axis=0) == 5) & grown(blocks != initial)
    filled = blocks.copy()
    for x, y, z in np.argwhere(holes).tolist():
        around = [blocks[at] for at in beside((x, y, z), blocks.shape) if solid[at]]
        filled[x, y, z] = np.bincount(around).argmax()
    holes &= ~limits.broken(filled, initial)
    blocks[holes] = filled[holes]
    return int(holes.sum())


def sealed_holes(blocks: Blocks) -> Mask:
    """Empty voxels that no path of empty voxels joins to the outside, above or beside the grid."""
    air = np.pad(blocks == AIR, ((1, 1), (0, 1), (1, 1)), constant_values=True)
    upside_down = air[:, ::-1].astype(int)  # joined to the outside = joined to the layer now lowest
    return floating(upside_down)[1:-1, :0:-1, 1:-1]
