"""Restraints of a training: the limits of the edit, a pull to the map, and tidying as the export does."""

import numpy as np
import torch
from jaxtyping import Integer

from voxsds.blocks.limits import Limits, no_limits
from voxsds.blocks.tidy import WHOLE, tidy
from voxsds.grid.logits import DifferentiableVoxelGrid

Blocks = Integer[np.ndarray, "X Y Z"]

FORBIDDEN = -1e4  # a logit so low that its share is zero in single precision at any temperature in use
LIGHT_TOUCH = 0.8  # agreement of the gradients, of 1, that a block's change needs at preserve 1


def restrain(grid: DifferentiableVoxelGrid, limits: Limits) -> None:
    """Makes the training obey, in place: cells that are not free keep their logits to the bit, and no
    other draws a forbidden material, but for the block of one that the map has there."""
    if not limits.free.all():
        grid.hold(torch.as_tensor(limits.free))
    forbidden = torch.as_tensor(limits.free & ~limits.materials[:, None, None, None])
    absent = grid.initial_material <= 0
    grid.initial_material.masked_fill_(forbidden.to(absent.device) & absent, FORBIDDEN)


def weight_decay(preserve: float, levels: int, initial_logit: float) -> float:
    """Decoupled weight decay of the residuals (Loshchilov and Hutter 2019, arXiv 1711.05101) for `preserve`.

    A residual is what was added to the map's logits, so its decay is a pull back to the map. Adam moves
    each by lr times how far its gradients agree from step to step, r = |m| / sqrt(v) in 0..1; against a
    decay of d it comes to rest at r / d, so the sum over the levels changes a block where
    r > d initial_logit / levels. Light touch, preserve 1, asks for r > LIGHT_TOUCH.
    """
    return preserve * LIGHT_TOUCH * levels / initial_logit


def tidy_grid(grid: DifferentiableVoxelGrid, initial: Blocks) -> int:
    """Tidies in the grid what it would be exported as, and returns how many voxels that takes.

    Voxels that the grid holds stay as they are; `initial` are the blocks of the map, which stay too.
    """
    blocks = grid.blocks()
    tidied = blocks.copy()
    tidy(tidied, initial, WHOLE, no_limits(blocks.shape, len(grid.initial_material)))
    cells = np.flatnonzero(tidied != blocks)
    device = grid.initial_occupancy.device
    grid.write(torch.as_tensor(cells, device=device), torch.as_tensor(tidied.flat[cells], device=device))
    return len(cells)
