"""Health of a run: its gradients in figures, and the reasons to stop it."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PATIENCE = 5  # steps in a row without any gradient before a run is given up


class TrainingStopped(Exception):
    """A run cannot go on: `reason` in a few words, `step`, and the figures that show it."""

    def __init__(self, reason: str, step: int, evidence: dict[str, Any], remedy: str):
        super().__init__(f"training stopped at step {step}, {reason}: {evidence}. {remedy}")
        self.reason, self.step, self.evidence = reason, step, evidence


def gradient_statistics(
    occupancy: Float[Tensor, "X Y Z"],
    material: Float[Tensor, "M X Y Z"],
    touched: Bool[Tensor, "X Y Z"],
) -> dict[str, float]:
    """`gradient_stats` of the log, from the gradients towards the logits.

    The health score is the share of the voxels in the images whose logits get any gradient.
    """
    alive = (occupancy != 0) | (material != 0).any(dim=0)
    return {
        "occupancy_grad_norm": occupancy.norm().item(),
        "material_grad_norm": material.norm().item(),
        "grad_max": max(occupancy.abs().max().item(), material.abs().max().item()),
        "grad_health_score": ((alive & touched).sum() / touched.sum().clamp(min=1)).item(),
    }


def require_finite_gradients(statistics: dict[str, float], gradients: dict[str, Tensor], step: int) -> None:
    """TrainingStopped where any number of the gradients is NaN or infinite, or their norm overflows."""
    if not all(math.isfinite(value) for value in statistics.values()):
        evidence = {f"{name} gradients not finite": _count_bad(g) for name, g in gradients.items()}
        raise TrainingStopped(
            "the gradient is not finite",
            step,
            evidence,
            "Go back to the last checkpoint with a lower lr or guidance_scale, or a wider vae_dtype.",
        )


def _count_bad(tensor: Tensor) -> int:
    return int((~torch.isfinite(tensor)).sum())


def require_movement(still: int, statistics: dict[str, float], step: int) -> None:
    """TrainingStopped after `PATIENCE` steps in a row without any gradient."""
    if still >= PATIENCE:
        raise TrainingStopped(
            "the gradient is zero",
            step,
            {"steps in a row": still, **statistics},
            "Do the cameras see the world? Is a temperature so low, or a logit so large, that nothing moves?",
        )


def require_blocks(statistics: dict[str, Any], step: int) -> None:
    """TrainingStopped where the grid's statistics show a world without blocks."""
    if statistics["num_active_voxels"] == 0:
        raise TrainingStopped(
            "the world is empty",
            step,
            {name: statistics[name] for name in ("num_active_voxels", "occupancy_mean")},
            "Lower lr or train.penalties.sparsity, or ask for a prompt with something in it.",
        )
