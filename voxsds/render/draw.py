"""Plain drawing: fields and worlds as cameras see them, and how far apart two images are."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import Field, solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import Palette

Images = Float[Tensor, "views 3 height width"]  # 0..1


def draw(field: Field, palette: Palette, frame: Frame, cameras: Sequence[Camera]) -> Images:
    """The field as the cameras see it."""
    lit = torch.as_tensor(lit_faces(palette)).to(field.opacity)
    rays = ray_bundle(cameras, frame, dtype=field.opacity.dtype)
    with torch.no_grad():
        return render(field.opacity, field.material, lit, rays).rgba[:, :3]


def draw_blocks(
    blocks: Integer[np.ndarray, "X Y Z"], palette: Palette, frame: Frame, cameras: Sequence[Camera]
) -> Images:
    """An opaque world as the cameras see it."""
    return draw(solid_field(blocks, len(palette) - 1), palette, frame, cameras)


PSNR_CEILING = 100.0  # decibels; what equal images are given, since JSON knows no infinity


def psnr(image: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> float:
    """Peak signal-to-noise ratio, dB, of images 0..1: -10 log10 of the mean square difference.

    An error of 0.1 everywhere is 20 dB; equal images are `PSNR_CEILING`.
    """
    error = (image.double() - target.double()).square().mean().item()
    return min(PSNR_CEILING, -10 * math.log10(error)) if error > 0 else PSNR_CEILING


def render_blocks(
    block_map: BlockMap,
    cameras: Sequence[Camera],  # all of one image size
    backend: str = "auto",
) -> Float[Tensor, "B 3 H W"]:
    """The opaque world as the cameras see it."""
    field = solid_field(block_map.blocks, len(block_map.palette) - 1)
    lit = torch.as_tensor(lit_faces(block_map.palette))
    rays = ray_bundle(cameras, block_map.frame)
    return render(*field, lit, rays, backend=backend).rgba[:, :3]
