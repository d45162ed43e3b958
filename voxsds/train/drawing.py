"""The grid of a run as the renderer draws it: the colours of its materials, its place, the backend."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.render.renderer import Rendering, render
from voxsds.train.recipe import RenderSettings
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import Field


@dataclass(frozen=True, eq=False)
class Drawing:
    """Everything that a picture depends on beside the field and the camera."""

    lit: Float[Tensor, "S 6 3"]  # colours of the faces, linear RGB 0..1
    frame: Frame
    knobs: RenderSettings

    def rays(self, cameras: Sequence[Camera]) -> RayBundle:
        """Rays of all pixels, on the device of the colours; the cameras' images have one size."""
        return ray_bundle(cameras, self.frame, self.lit.dtype, self.lit.device)

    def render(self, field: Field, rays: RayBundle) -> Rendering:
        """Images, differentiable in `field`, and the light that reaches each voxel."""
        return render(*field, self.lit, rays, threshold=self.knobs.threshold, backend=self.knobs.backend)

    @torch.no_grad()
    def images(self, field: Field, rays: RayBundle) -> Float[Tensor, "views 3 height width"]:
        """Images 0..1 alone, without gradient."""
        return self.render(field, rays).rgba[:, :3]
