"""Tidying of floating parts and of holes one voxel wide; speckles have their own module.

Every function changes `blocks` in place, within the limits of the edit, and says how much. What cannot be
settled within the limits still floats; `undo_floating` then takes back the changes that made it so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Integer

from voxsds.blocks.limits import Limits
from voxsds.blocks.neighbours import Group, beside, components, floating, grown
from voxsds.world.palette import AIR

Blocks = Integer[np.ndarray, "X Y Z"]
Mask = Bool[np.ndarray, "X Y Z"]
Column = tuple[int, int, int]  # x, y and z of the lowest block of a group in one column
Change = tuple[Group, np.ndarray]  # cells, and the material that each gets


@dataclass(frozen=True)
class Settling:
    """Treatment of groups of blocks that float, by their size and height."""

    crumb_blocks: int  # groups of up to this many blocks are dropped
    support_gap: int  # larger groups that hang up to this high over something are joined to it
    stray_blocks: int  # of the others those of up to this many blocks are dropped, and larger ones fall


@dataclass(frozen=True)
class Settled:
    """Numbers of groups that were dropped, propped and let fall, and of the blocks that took."""

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
    return _drop(list(new_floaters(blocks, initial)), blocks, initial, limits)


def settle(blocks: Blocks, initial: Blocks, settings: Settling, limits: Limits) -> Settled:
    """No new group floats: crumbs and strays go, what hangs low is propped, the rest falls until it rests.

    The larger ones one after another, the lowest first, so that the next may come to rest on it.
    """
    groups = sorted(new_floaters(blocks, initial), key=lambda group: group[1].min())
    crumbs = [group for group in groups if len(group[0]) <= settings.crumb_blocks]
    total = _drop(crumbs, blocks, initial, limits)
    afloat = floating(blocks)
    for group in groups:
        if len(group[0]) <= settings.crumb_blocks or not afloat[group].any():
            continue  # one that was settled before holds it
        settled = _settle_one(group, (blocks != AIR) & ~afloat, blocks, initial, settings, limits)
        if settled != Settled():
            total, afloat = total + settled, floating(blocks)
    return total


def _settle_one(
    group: Group, grounded: Mask, blocks: Blocks, initial: Blocks, settings: Settling, limits: Limits
) -> Settled:
    """Does the first that the limits allow of what suits the group's height and size."""
    gap, columns = gap_under(group, grounded)
    if gap <= settings.support_gap:
        props = _props(blocks, initial, columns, gap)
        if _done([props], blocks, initial, limits):
            return Settled(groups_supported=1, blocks_supporting=gap * len(columns))
    elif len(group[0]) <= settings.stray_blocks:
        return _drop([group], blocks, initial, limits)
    if _done(_fall(blocks, group), blocks, initial, limits):
        return Settled(groups_fallen=1, blocks_fallen=len(group[0]))
    return Settled()


def _drop(groups: list[Group], blocks: Blocks, initial: Blocks, limits: Limits) -> Settled:
    """Removes those of the groups that may go."""
    total = Settled()
    for group in groups:
        if _done([(group, np.zeros_like(blocks[group]))], blocks, initial, limits):
            total += Settled(groups_dropped=1, blocks_dropped=len(group[0]))
    return total


def _done(changes: list[Change], blocks: Blocks, initial: Blocks, limits: Limits) -> bool:
    """Makes all the changes, in place and in their order, or none where one would break a limit."""
    before = [blocks[cells] for cells, _ in changes]
    for cells, materials in changes:
        blocks[cells] = materials
    if all(limits.allows(cells, blocks[cells], initial) for cells, _ in changes):
        return True
    for (cells, _), materials in zip(reversed(changes), reversed(before), strict=True):
        blocks[cells] = materials
    return False


def _props(blocks: Blocks, initial: Blocks, columns: list[Column], gap: int) -> Change:
    """`gap` blocks under each column: the map's own where it has any, else of what is above."""
    cells, materials = [], []
    for x, lowest, z in columns:
        above = blocks[x, lowest, z]
        for y in range(lowest - 1, lowest - 1 - gap, -1):
            above = initial[x, y, z] or above
            cells.append((x, y, z))
            materials.append(above)
    xs, ys, zs = np.array(cells).T
    return (xs, ys, zs), np.array(materials)


def _fall(blocks: Blocks, group: Group) -> list[Change]:
    """The group as far down as it falls: onto a block, or onto the lowest layer."""
    x, y, z = group
    solid = blocks != AIR
    solid[group] = False
    floor = int(np.flatnonzero(solid.any(axis=(0, 2)))[0])
    fallen = 0
    while y.min() - fallen > floor and not solid[x, y - fallen - 1, z].any():
        fallen += 1
    return [(group, np.zeros_like(blocks[group])), ((x, y - fallen, z), blocks[group])]


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
