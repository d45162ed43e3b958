"""Pictures drawn from a teacher alone: what it thinks the prompt looks like."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.denoise import denoise
from voxsds.guidance.teacher import Teacher
from voxsds.rays import RayBundle


def trailing_timesteps(steps: int, total: int = 1000) -> Int[Tensor, " steps"]:
    """`steps` timesteps from the last one down, evenly spaced (arXiv 2305.08891, table 2).

    Four of 1000 are 999, 749, 499, 249: those of SDXL-Lightning's four-step network.
    """
    if not 1 <= steps <= total:
        raise ValueError(
            f"cannot draw a sample in {steps} steps: the schedule has {total}, ask for 1 to {total}"
        )
    return torch.arange(total, 0, -total / steps, dtype=torch.float64)[:steps].round().long() - 1


def sample(
    teacher: Teacher,
    steps: int,
    noise: Float[Tensor, "views channels rows columns"],  # standard normal: the start
    guidance_scale: float,
    rays: RayBundle | None = None,
    clamp: bool = False,
) -> Float[Tensor, "views 3 height width"]:
    """Images 0..1 from pure noise."""
    schedule = trailing_timesteps(steps, len(teacher.alphas_cumprod)).to(noise.device)
    every_view = schedule[:, None].expand(-1, len(noise))
    return teacher.decode(denoise(teacher, noise, every_view, rays, guidance_scale, clamp))
