"""From a trained grid to plain blocks: threshold, what nobody sees as it was, crumbs and speckles gone."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer

from voxsds.grid import DifferentiableVoxelGrid
from voxsds.materials import AIR
from voxsds.metrics import floating
from voxsds.speckle import repaint_speckles

Blocks = Integer[np.ndarray, "X Y Z"]
Mask = Bool[np.ndarray, "X Y Z"]
Group = tuple[np.ndarray, np.ndarray, np.ndarray]  # the x, y and z of its voxels
Column = tuple[int, int, int]  # x, y and z of the lowest block of a group in one column


@dataclass(frozen=True)
class ExportSettings:
    """What becomes a block, and what happens to floating groups of blocks that did not float before."""

    threshold: float  # occupancy over which a voxel is a block
    seen_reach: float  # light that must have arrived at a voxel in some view for its change to count
    crumb_blocks: int  # groups of up to this many blocks are dropped
    support_gap: int  # larger groups that hang up to this high over something are joined to it
    stray_blocks: int  # of the others those of up to this many blocks are dropped
    repaint_speckles: bool  # lone blocks of another material than all around take that of their surroundings


@dataclass(frozen=True)
class ExportCounts:
    """What was done to the thresholded grid."""

    blocks: int  # in the result
    unseen_restored: int  # voxels never seen that would have changed
    sealed_restored: int  # blocks put back where their removal left a hole that is closed all around
    groups_dropped: int
    blocks_dropped: int  # in these groups
    groups_supported: int
    blocks_supporting: int  # added under these groups
    speckles_repainted: int
    floating: int  # blocks that float in the result


def export_blocks(
    grid: DifferentiableVoxelGrid,
    reach: Float[torch.Tensor, "X Y Z"],  # best transmittance with which any ray of the run arrived
    initial: Blocks,
    settings: ExportSettings,
) -> tuple[Blocks, ExportCounts]:
    """The blocks of a trained grid, and what was done to get them.

    A voxel that no view saw keeps what the map has there: nothing but the interpolation of coarse
    residuals and the optimizer's normalisation can have moved it. The same goes for holes that nobody
    can look into: the optimizer may dig away the ground under a tower while it can be seen through the
    forming blocks, and the tower would float on an invisible gap.
    """
    drawn = grid.blocks(settings.threshold)
    unseen = reach.cpu().numpy() <= settings.seen_reach
    blocks = np.where(unseen, initial, drawn)
    sealed = sealed_holes(blocks) & (initial != AIR)
    blocks[sealed] = initial[sealed]
    dropped, supporting = settle(blocks, initial, settings)
    repainted = repaint_speckles(blocks, initial) if settings.repaint_speckles else 0
    return blocks, ExportCounts(
        blocks=int((blocks != AIR).sum()),
        unseen_restored=int((unseen & (drawn != initial)).sum()),
        sealed_restored=int(sealed.sum()),
        groups_dropped=len(dropped),
        blocks_dropped=sum(dropped),
        groups_supported=len(supporting),
        blocks_supporting=sum(supporting),
        speckles_repainted=repainted,
        floating=int(floating(blocks).sum()),
    )


def sealed_holes(blocks: Blocks) -> Mask:
    """Empty voxels that no path of empty voxels joins to the outside, above or beside the grid."""
    air = np.pad(blocks == AIR, ((1, 1), (0, 1), (1, 1)), constant_values=True)
    upside_down = air[:, ::-1].astype(int)  # joined to the outside = joined to the layer now lowest
    return floating(upside_down)[1:-1, :0:-1, 1:-1]


def settle(blocks: Blocks, initial: Blocks, settings: ExportSettings) -> tuple[list[int], list[int]]:
    """Deals with the floating groups of `blocks`, in place, as `ExportSettings` says.

    Returns the sizes of the groups that were dropped, and the numbers of blocks put under others.
    """
    dropped, supporting = [], []
    floated = floating(initial)
    for group in components(floating(blocks)):
        size = len(group[0])
        if floated[group].any():
            continue
        gap, columns = gap_under(group, (blocks != AIR) & ~floating(blocks))
        if size > settings.crumb_blocks and gap <= settings.support_gap:
            supporting.append(support(blocks, initial, columns, gap))
        elif size <= max(settings.crumb_blocks, settings.stray_blocks):
            blocks[group] = AIR
            dropped.append(size)
    return dropped, supporting


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


def support(blocks: Blocks, initial: Blocks, columns: list[Column], gap: int) -> int:
    """Fills `gap` voxels under each of `columns`, in place, with the map's own blocks where it has any,
    else with more of what is above; returns how many."""
    for x, lowest, z in columns:
        for y in range(lowest - 1, lowest - 1 - gap, -1):
            blocks[x, y, z] = initial[x, y, z] or blocks[x, y + 1, z]
    return gap * len(columns)


def components(mask: Mask) -> Iterator[Group]:
    """The groups of voxels of `mask` that are joined by faces, in the order of their first voxels."""
    left = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    for first in sorted(left):
        if first not in left:
            continue
        left.discard(first)
        group, queue = [first], deque([first])
        while queue:
            x, y, z = queue.popleft()
            around = (
                (x - 1, y, z),
                (x + 1, y, z),
                (x, y - 1, z),
                (x, y + 1, z),
                (x, y, z - 1),
                (x, y, z + 1),
            )
            for voxel in around:
                if voxel in left:
                    left.discard(voxel)
                    group.append(voxel)
                    queue.append(voxel)
        xs, ys, zs = np.array(group).T
        yield xs, ys, zs
