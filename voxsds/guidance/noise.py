"""Latents between clean and noise, and back: what a model's schedule says, and the formulas that take it.

Notation: z clean latents, eps the noise that was drawn, z_t = a z + s eps, eps_hat the prediction. A
schedule is a table of a and s at each timestep; nothing here needs a^2 + s^2 to be 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Level(NamedTuple):
    """Noise level of views: the variances of signal and noise in their latents."""

    signal: Float[Tensor, "*views"]  # a^2
    noise: Float[Tensor, "*views"]  # s^2

    def amplitudes(self) -> tuple[Float[Tensor, "*views 1 1 1"], Float[Tensor, "*views 1 1 1"]]:
        """(a, s), shaped to multiply latents."""
        return self.signal[..., None, None, None].sqrt(), self.noise[..., None, None, None].sqrt()

    def without_noise(self) -> "Level":
        """The level of clean latents, for as many views: a = 1, s = 0."""
        return Level(torch.ones_like(self.signal), torch.zeros_like(self.noise))


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """A noise level for each timestep, from nearly clean to nearly pure noise.

    Variances, since those are what most schedules hold: a root of the square gives an amplitude back to the
    last bit, the square of the root no variance.
    """

    signal: Float[Tensor, " steps"]  # a^2, falling
    noise: Float[Tensor, " steps"]  # s^2, rising

    @classmethod
    def ddpm(cls, alphas_cumprod: Float[Tensor, " steps"]) -> "NoiseTable":
        """a = sqrt(abar), s = sqrt(1 - abar), by which DDPM trains (arXiv 2006.11239, eq. 4)."""
        return cls(alphas_cumprod, 1 - alphas_cumprod)

    @classmethod
    def flow(cls, times: Float[Tensor, " steps"]) -> "NoiseTable":
        """a = 1 - t, s = t: the straight lines of rectified flow (arXiv 2209.03003).

        ValueError unless the times rise and lie between 0 and 1, without either: at 0 no prediction says
        what the noise is, at 1 none what the picture.
        """
        if not ((times > 0) & (times < 1)).all() or not (times.diff() > 0).all():
            raise ValueError("times of a flow must rise and lie between 0 and 1, neither of them included")
        return cls((1 - times).square(), times.square())

    def __len__(self) -> int:
        return len(self.signal)

    def at(self, timesteps: Int[Tensor, "*views"], like: Tensor) -> Level:
        """Levels at the timesteps, in the type and on the device of `like`."""
        return Level(self.signal[timesteps].to(like), self.noise[timesteps].to(like))

    def to(self, device: torch.device | str) -> "NoiseTable":
        """This table on `device`."""
        return NoiseTable(self.signal.to(device), self.noise.to(device))


def noise_latents(
    clean: Float[Tensor, "views channels height width"],
    noise: Float[Tensor, "views channels height width"],  # standard normal
    level: Level,
) -> Float[Tensor, "views channels height width"]:
    """z_t = a z + s eps. Of z = 1 and eps = 2 at a = 0.6 and s = 0.8 it makes 0.6 + 1.6 = 2.2."""
    a, s = level.amplitudes()
    return a * clean + s * noise


def clean_estimate(
    noisy: Float[Tensor, "views channels height width"],
    predicted: Float[Tensor, "views channels height width"],
    level: Level,
) -> Float[Tensor, "views channels height width"]:
    """x0_hat = (z_t - s eps_hat) / a: the clean latents that this prediction of the noise implies."""
    a, s = level.amplitudes()
    return (noisy - s * predicted) / a


def noise_between(
    clean: Float[Tensor, "*views channels height width"],
    noisy: Float[Tensor, "*views channels height width"],
    level: Level,
) -> Float[Tensor, "*views channels height width"]:
    """(z_t - a z) / s: the noise that lies between clean and noisy latents; undoes `clean_estimate`."""
    a, s = level.amplitudes()
    return (noisy - a * clean) / s


def scaled_linear_alpha_bars(steps: int = 1000) -> Float[Tensor, " steps"]:
    """alphas_cumprod of SDXL: the betas' square roots run evenly from sqrt(.00085) to sqrt(.012)."""
    roots = torch.linspace(0.00085**0.5, 0.012**0.5, steps)
    return torch.cumprod(1 - roots**2, dim=0)


def even_times(steps: int = 1000) -> Float[Tensor, " steps"]:
    """Times of a flow, evenly spaced between 0 and 1: of two, 1/4 and 3/4."""
    return (torch.arange(steps) + 0.5) / steps
