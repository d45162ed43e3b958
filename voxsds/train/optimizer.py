"""Adam, as it moves residuals of every stride."""

import torch

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.train.recipe import Recipe
from voxsds.train.restraint import weight_decay


def adam(grid: DifferentiableVoxelGrid, recipe: Recipe, preserve: float) -> torch.optim.Adam:
    """The optimizer of the grid's residuals, which decay as `preserve` asks, 0 to 1."""
    decay = weight_decay(preserve, len(grid.levels), grid.initial_occupancy.abs().max().item())
    knobs = recipe.train
    return torch.optim.Adam(
        grid.by_stride(),
        recipe.lr,
        knobs.betas,
        knobs.epsilon,
        decay,
        decoupled_weight_decay=True,
        fused=True,
    )


def move(optimizer: torch.optim.Adam, lr: float) -> None:
    """Takes a step: what stands for k voxels along a side moves k times as fast.

    Over k x k x k voxels noise averages out, and so much land has to move as one thing.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group["stride"]
    optimizer.step()
