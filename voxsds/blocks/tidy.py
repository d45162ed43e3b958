"""Tidying of what noise leaves: at the export, and in the last steps of a training.

Noise makes sure of single voxels that nothing holds, and of holes one voxel wide. Taken away only at the
export, they are seen in the trained grid and missing in the blocks.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from jaxtyping import Integer

from voxsds.blocks.limits import Limits
from voxsds.blocks.settle import Settled, Settling, drop, fill_holes, settle
from voxsds.blocks.surface import repaint_speckles

Blocks = Integer[np.ndarray, "X Y Z"]


@dataclass(frozen=True)
class Tidying:
    """Steps of the tidying, and their limits."""

    floating: Literal["drop", "settle", "keep"]  # what becomes of groups that did not float before
    settling: Settling  # for "settle"
    fill_holes: bool  # those one voxel wide
    repaint_speckles: bool  # lone blocks of another material than all around take that of their surroundings


WHOLE = Tidying("settle", Settling(crumb_blocks=8, support_gap=3, stray_blocks=64), True, True)


@dataclass(frozen=True)
class Tidied:
    """Counts of what the tidying did."""

    settled: Settled
    holes_filled: int
    speckles_repainted: int


def tidy(blocks: Blocks, initial: Blocks, how: Tidying, limits: Limits) -> Tidied:
    """Tidies `blocks` in place, within the limits; nothing of this applies to the map's own, `initial`."""
    match how.floating:
        case "drop":
            settled = drop(blocks, initial, limits)
        case "settle":
            settled = settle(blocks, initial, how.settling, limits)
        case "keep":
            settled = Settled()
        case _:
            assert_never(how.floating)
    holes = fill_holes(blocks, initial, limits) if how.fill_holes else 0
    speckles = _repainted(blocks, initial, limits) if how.repaint_speckles else 0
    return Tidied(settled, holes, speckles)


def _repainted(blocks: Blocks, initial: Blocks, limits: Limits) -> int:
    """Repaints speckles, in place, but for those that the limits keep."""
    repainted = blocks.copy()
    repaint_speckles(repainted, initial)
    repainted = np.where(limits.broken(repainted, initial), blocks, repainted)
    count = int((repainted != blocks).sum())
    blocks[...] = repainted
    return count
