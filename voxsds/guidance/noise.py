"""Latents between clean and noise, and back.

Notation: z clean latents, eps the noise that was drawn, abar the scheduler's alphas_cumprod at the
timestep of each view, a = sqrt(abar), s = sqrt(1 - abar), z_t = a z + s eps, eps_hat the prediction.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def signal_and_noise(alpha_bar: Float[Tensor, " views"]) -> tuple[Tensor, Tensor]:
    """a and s of every view, shaped to multiply latents."""
    alpha_bar = alpha_bar[:, None, None, None]
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def noise_latents(
    clean: Float[Tensor, "views channels height width"],
    noise: Float[Tensor, "views channels height width"],  # standard normal
    alpha_bar: Float[Tensor, " views"],
) -> Float[Tensor, "views channels height width"]:
    """z_t = a z + s eps (DDPM, arXiv 2006.11239, eq. 4), whatever the folder's scheduler.

    Of z = 1 and eps = 2 at abar = 0.36 it makes 0.6 + 1.6 = 2.2.
    """
    a, s = signal_and_noise(alpha_bar)
    return a * clean + s * noise


def clean_estimate(
    noisy: Float[Tensor, "views channels height width"],
    predicted: Float[Tensor, "views channels height width"],
    alpha_bar: Float[Tensor, " views"],
) -> Float[Tensor, "views channels height width"]:
    """x0_hat = (z_t - s eps_hat) / a: the clean latents that this prediction of the noise implies."""
    a, s = signal_and_noise(alpha_bar)
    return (noisy - s * predicted) / a


def noise_between(
    clean: Float[Tensor, "views channels height width"],
    noisy: Float[Tensor, "views channels height width"],
    alpha_bar: Float[Tensor, " views"],
) -> Float[Tensor, "views channels height width"]:
    """(z_t - a z) / s: the noise that lies between clean and noisy latents; undoes `clean_estimate`."""
    a, s = signal_and_noise(alpha_bar)
    return (noisy - a * clean) / s


def noise_from_velocity(
    noisy: Float[Tensor, "views channels height width"],
    velocity: Float[Tensor, "views channels height width"],
    alpha_bar: Float[Tensor, " views"],
) -> Float[Tensor, "views channels height width"]:
    """eps_hat = a v + s z_t, from v = a eps - s z (arXiv 2202.00512, appendix D)."""
    a, s = signal_and_noise(alpha_bar)
    return a * velocity + s * noisy


def scaled_linear_alpha_bars(steps: int = 1000) -> Float[Tensor, " steps"]:
    """alphas_cumprod of SDXL: the betas' square roots run evenly from sqrt(.00085) to sqrt(.012)."""
    roots = torch.linspace(0.00085**0.5, 0.012**0.5, steps)
    return torch.cumprod(1 - roots**2, dim=0)
