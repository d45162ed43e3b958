"""Pictures drawn from a teacher alone: what it thinks the prompt looks like."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.cameras import RayBundle
from voxsds.guidance.distill import guided_prediction, known_range
from voxsds.guidance.sds import clamp_noise, clean_estimate, noise_latents
from voxsds.guidance.teacher import Teacher


def trailing_timesteps(steps: int, total: int = 1000) -> Int[Tensor, " steps"]:
    """`steps` timesteps from the last one down, evenly spaced (arXiv 2305.08891, table 2).

    Four of 1000 are 999, 749, 499, 249: those of SDXL-Lightning's four-step network.
    """
    if not 1 <= steps <= total:
        raise ValueError(
            f"cannot draw a sample in {steps} steps: the schedule has {total}, ask for 1 to {total}"
        )
    return torch.arange(total, 0, -total / steps, dtype=torch.float64)[:steps].round().long() - 1


@torch.no_grad()
def sample(
    teacher: Teacher,
    steps: int,
    noise: Float[Tensor, "views channels rows columns"],  # standard normal: the start
    guidance_scale: float,
    rays: RayBundle | None = None,
    clamp: bool = False,
) -> Float[Tensor, "views 3 height width"]:
    """Images 0..1 by deterministic DDIM: z' = a' x0_hat + s' eps_hat (arXiv 2010.02502, eq. 12)."""
    total = len(teacher.alphas_cumprod)
    schedule = trailing_timesteps(steps, total).to(noise.device)
    alpha_bars = torch.cat([teacher.alphas_cumprod[schedule], teacher.alphas_cumprod.new_ones(1)]).to(noise)
    latents = noise
    for t, alpha_bar, next_alpha_bar in zip(schedule, alpha_bars, alpha_bars[1:], strict=False):
        batch = alpha_bar.expand(len(noise))
        predicted = guided_prediction(teacher, latents, t.expand(len(noise)), rays, guidance_scale)
        if clamp:
            predicted = clamp_noise(latents, predicted, batch, known_range(teacher))
        clean = clean_estimate(latents, predicted, batch)
        latents = noise_latents(clean, predicted, next_alpha_bar.expand(len(noise)))
    return teacher.decode(latents)
