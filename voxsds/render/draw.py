"""Plain drawing: fields and worlds as cameras see them, and how far apart two images are."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import Field, solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import Palette

Images = Float[Tensor, "views 3 height width"]  # 0..1


class Placed(NamedTuple):
    """A field with what else a picture of it depends on."""

    field: Field
    palette: Palette
    frame: Frame


@torch.no_grad()
def draw(
    world: BlockMap | Placed,
    cameras: Sequence[Camera],  # all of one image size
    backend: str = "auto",
) -> Images:
    """The field, or the opaque blocks of the world, as the cameras see it."""
    field = world.field if isinstance(world, Placed) else solid_field(world.blocks, len(world.palette) - 1)
    rays = ray_bundle(cameras, world.frame, field.opacity.dtype, field.opacity.device)
    return render(*field, lit_faces(world.palette), rays, backend=backend).rgba[:, :3]


PSNR_CEILING = 100.0  # decibels; what equal images are given, since JSON knows no infinity


def psnr(image: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> float:
    """Peak signal-to-noise ratio, dB, of images 0..1: -10 log10 of the mean square difference.

    An error of 0.1 everywhere is 20 dB; equal images are `PSNR_CEILING`.
    """
    error = (image.double() - target.double()).square().mean().item()
    return min(PSNR_CEILING, -10 * math.log10(error)) if error > 0 else PSNR_CEILING
