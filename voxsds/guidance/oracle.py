"""A teacher without weights: the ideal denoiser of views of worlds that are known.

Its images are a mixture of Gaussians N(x_k, spread^2) around the views x_k of its worlds from the
same rays, whose posterior mean has a closed form. It makes the whole chain testable: an optimiser
that cannot follow a perfect teacher will not follow a real one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from voxsds.guidance.sds import scaled_linear_alpha_bars
from voxsds.guidance.teacher import TeacherSettings
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle
from voxsds.render.renderer import render
from voxsds.world.field import Field, solid_field
from voxsds.world.maps import read_map


def posterior_mean(
    noisy: Float[Tensor, "channels height width"],  # a x + s eps
    centres: Float[Tensor, "worlds channels height width"],
    alpha_bar: Float[Tensor, ""],
    spread: float,
) -> Float[Tensor, "channels height width"]:
    """E[x | a x + s eps = noisy] for x from the equal mixture of N(centre_k, spread^2).

    With v = s^2 + a^2 spread^2: the responsibilities are softmax_k(-|noisy - a centre_k|^2 / 2v) and
    component k's mean (s^2 centre_k + a spread^2 noisy) / v (Bishop, PRML, 2.3.3 and 9.2). Two
    centres -1 and 1 seen as noisy = 0 give 0.
    """
    a, variance = alpha_bar.sqrt(), 1 - alpha_bar
    v = variance + alpha_bar * spread**2
    distance = (noisy - a * centres).square().flatten(1).sum(1)
    share = torch.softmax(-distance / (2 * v), dim=0)
    nearest = torch.tensordot(share, centres, dims=1)
    return (variance * nearest + a * spread**2 * noisy) / v


class OracleTeacher:
    """Noise predictions of the ideal denoiser; latents are pixels in -1..1.

    The conditional prediction knows the worlds of `conditional`, the unconditional one those of
    `unconditional`: block ids on the grid that the rays are in.
    """

    vocabulary = None

    def __init__(
        self,
        conditional: Sequence[Integer[np.ndarray, "X Y Z"]],
        unconditional: Sequence[Integer[np.ndarray, "X Y Z"]],
        lit: Float[Tensor, "solids 6 3"],
        resolution: int,
        spread: float = 0.15,  # of a pixel around its view's, in -1..1
    ):
        if not conditional or not unconditional:
            raise ValueError("an oracle needs at least one conditional and one unconditional world")
        self.resolution = resolution
        self.alphas_cumprod = scaled_linear_alpha_bars().to(lit.device)
        self.latent_range = torch.tensor([[-1.0, 1.0]] * 3, device=lit.device)
        fields = (solid_field(blocks, len(lit), lit.dtype) for blocks in (*conditional, *unconditional))
        self._worlds = [
            Field(opacity.to(lit.device), material.to(lit.device)) for opacity, material in fields
        ]
        self._conditional = len(conditional)
        self._lit = lit
        self._spread = spread
        self._seen: tuple[RayBundle, Tensor] | None = None

    @classmethod
    def from_map(cls, settings: TeacherSettings, device: str = "cpu") -> "OracleTeacher":
        """One that knows nothing but the world of the map file `settings.model`, whatever the prompt.

        The map must have the dimensions of the one that is optimised.
        """
        target = read_map(Path(settings.model))
        lit = lit_faces(target.palette).to(device, torch.float32)
        return cls([target.blocks], [target.blocks], lit, settings.resolution)

    def encode(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 height width"]:
        return images * 2 - 1

    def decode(self, latents: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 height width"]:
        return (latents.detach() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict_noise(
        self,
        noisy: Float[Tensor, "views 3 height width"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views 3 height width"]]:
        """(z_t - a E[x | z_t]) / s under each of the two banks."""
        if rays is None:
            raise ValueError("an oracle must know the rays of the views: pass rays to predict_noise")
        views = self._views(rays)
        banks = views[self._conditional :], views[: self._conditional]
        unconditional, conditional = (self._noise(noisy, timesteps, bank) for bank in banks)
        return unconditional, conditional

    def predict_conditional(
        self,
        noisy: Float[Tensor, "views 3 height width"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Float[Tensor, "views 3 height width"]:
        """Under the conditional bank alone; nothing is saved, worlds are drawn once for both."""
        return self.predict_noise(noisy, timesteps, rays)[1]

    def _noise(self, noisy: Tensor, timesteps: Tensor, bank: Tensor) -> Tensor:
        predictions = []
        for view, t in enumerate(timesteps.tolist()):
            alpha_bar = self.alphas_cumprod[t].to(noisy)
            clean = posterior_mean(noisy[view], bank[:, view].to(noisy), alpha_bar, self._spread)
            predictions.append((noisy[view] - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt())
        return torch.stack(predictions)

    def _views(self, rays: RayBundle) -> Float[Tensor, "worlds views 3 height width"]:
        """Latents of every world from `rays`; those of the last bundle are kept."""
        if self._seen is None or self._seen[0] is not rays:
            self._seen = rays, torch.stack([self._view(world, rays) for world in self._worlds])
        return self._seen[1]

    def _view(self, world: Field, rays: RayBundle) -> Tensor:
        return self.encode(render(world.opacity, world.material, self._lit, rays).rgba[:, :3])
