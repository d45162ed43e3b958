"""From a trained grid to plain blocks: threshold, what nobody sees as it was, tidied, within the limits."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Integer

from voxsds.blocks.limits import Limits, no_limits
from voxsds.blocks.neighbours import floating
from voxsds.blocks.settle import Settling, sealed_holes, undo_floating
from voxsds.blocks.surface import visible
from voxsds.blocks.tidy import Tidying, tidy
from voxsds.export.budget import importance, within_budget
from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.world.palette import AIR

Blocks = Integer[np.ndarray, "X Y Z"]
Reach = Float[torch.Tensor, "X Y Z"]  # best transmittance with which any ray of the run arrived


@dataclass(frozen=True)
class ExportSettings:
    """Threshold of a block, and the tidying of the result."""

    threshold: float  # occupancy over which a voxel is a block
    seen_reach: float  # light that must have arrived at a voxel in some view for its change to count
    crumb_blocks: int  # to settle: floating groups of up to this many blocks are dropped
    support_gap: int  # larger ones that hang up to this high over something are joined to it
    stray_blocks: int  # of the others those of up to this many blocks are dropped, and larger ones fall
    repaint_speckles: bool  # lone blocks of another material than all around take that of their surroundings
    floating: Literal["drop", "settle", "keep"]  # what becomes of groups that did not float before
    fill_holes: bool  # those one voxel wide

    @property
    def tidying(self) -> Tidying:
        settling = Settling(self.crumb_blocks, self.support_gap, self.stray_blocks)
        return Tidying(self.floating, settling, self.fill_holes, self.repaint_speckles)

    @property
    def untidied(self) -> "ExportSettings":
        """These settings without any clean-up."""
        return replace(self, floating="keep", fill_holes=False, repaint_speckles=False)


@dataclass(frozen=True)
class ExportCounts:
    """Counts of what was done to the thresholded grid."""

    blocks: int  # in the result
    changed: int  # cells of the result that are not as in the map
    unseen_restored: int  # voxels never seen that would have changed
    sealed_restored: int  # blocks put back where their removal left a hole that is closed all around
    limits_restored: int  # voxels that the limits of the edit put back
    groups_dropped: int
    blocks_dropped: int  # in these groups
    groups_supported: int
    blocks_supporting: int  # added under these groups
    groups_fallen: int
    blocks_fallen: int
    holes_filled: int
    speckles_repainted: int
    hidden_restored: int  # repainted blocks that other blocks hide from everywhere
    over_budget: int  # changes taken back because no more blocks may change
    floating_undone: int  # changes taken back because they set something afloat
    floating: int  # blocks that float in the result


def export_blocks(
    grid: DifferentiableVoxelGrid,
    reach: Reach,
    initial: Blocks,
    settings: ExportSettings,
    limits: Limits | None = None,  # None: everything may change
) -> tuple[Blocks, ExportCounts]:
    """The blocks of a trained grid, tidied, and what was done to get them. No limit of the edit is broken."""
    limits = limits or no_limits(initial.shape, len(grid.initial_material))
    blocks, restored = seen_blocks(grid, reach, initial, settings, limits)
    tidied = tidy(blocks, initial, settings.tidying, limits)
    hidden = _restore_hidden(blocks, initial)
    over = 0
    if limits.max_blocks is not None:
        over = max(0, int((blocks != initial).sum()) - limits.max_blocks)
        blocks = within_budget(blocks, initial, importance(grid, reach, blocks, initial), limits.max_blocks)
    undone = undo_floating(blocks, initial) if settings.floating != "keep" else 0
    return blocks, ExportCounts(
        blocks=int((blocks != AIR).sum()),
        changed=int((blocks != initial).sum()),
        **restored,
        **asdict(tidied.settled),
        holes_filled=tidied.holes_filled,
        speckles_repainted=tidied.speckles_repainted,
        hidden_restored=hidden,
        over_budget=over,
        floating_undone=undone,
        floating=int(floating(blocks).sum()),
    )


def seen_blocks(
    grid: DifferentiableVoxelGrid, reach: Reach, initial: Blocks, settings: ExportSettings, limits: Limits
) -> tuple[Blocks, dict[str, int]]:
    """The thresholded grid, with the map's own blocks where no change can count, and how many those are.

    A voxel that no view saw keeps what the map has there: nothing but the interpolation of coarse
    residuals and the optimizer's normalisation can have moved it. The same goes for holes that nobody
    can look into: the optimizer may dig away the ground under a tower while it can be seen through the
    forming blocks, and the tower would float on an invisible gap. And nothing is built under the lowest
    layer of the map, which is the ground that all else rests on.
    """
    drawn = grid.blocks(settings.threshold)
    unseen = reach.cpu().numpy() <= settings.seen_reach
    unseen[:, : lowest_layer(initial)] = True
    blocks = np.where(unseen, initial, drawn)
    allowed = limits.kept(blocks, initial)
    sealed = sealed_holes(allowed) & (initial != AIR)
    counts = {
        "unseen_restored": int((unseen & (drawn != initial)).sum()),
        "sealed_restored": int(sealed.sum()),
        "limits_restored": int((allowed != blocks).sum()),
    }
    return np.where(sealed, initial, allowed), counts


def lowest_layer(blocks: Blocks) -> int:
    """The y of the lowest block; 0 where there is none."""
    return int(np.flatnonzero((blocks != AIR).any(axis=(0, 2)))[:1].sum())


def _restore_hidden(blocks: Blocks, initial: Blocks) -> int:
    """Gives blocks that nobody can look at the map's own material, in place; returns how many changed.

    They were seen while what hides them was forming, and repainted for a view that is no more.
    """
    hidden = (blocks != AIR) & (initial != AIR) & (blocks != initial) & ~visible(blocks)
    blocks[hidden] = initial[hidden]
    return int(hidden.sum())
