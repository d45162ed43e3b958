"""The GPU renderer: Triton kernels behind a torch function with a hand-written gradient.

A forward is one launch, and so is a backward. Neither waits for the device or reads from it, so both
can be captured in a CUDA graph, all views at once.

**Backward without dividing light by 1 - a.** What a voxel's derivative needs is the light that arrives,
known from the front, and what lies behind, known from the back. Walking to the front with both is
usual, but gets what is behind by subtracting from the pixel and dividing by the transmittance left:
wrong at opacity 1, bad near it. Recording each ray takes memory that grows with its length. Here a ray
is walked to its end, a little beyond (see `numba_kernels._walk`), and then back to front:
`triton_walk.retreat` undoes steps exactly. What is behind is summed without any cancellation, and the
transmittance is divided by 1 - a in float64 only in front of the voxel that blocks the ray, where no
1 - a is zero: a relative error of some 1e-16 a voxel.

**Determinism.** Images, `reach` and hits are the same bits in every run. Gradients are sums of atomic
additions, whose order varies, and with it the last bits. With
`torch.use_deterministic_algorithms(True)` they are summed in 64-bit fixed point, which no order
changes. The unit is the smallest with which no sum can overflow, opacities being 0..1: for n pixels,
each addition is off by at most 2^-59 n c max |cotangent|, with c the largest of 1, the colours and
the background: 2e-12 max |cotangent| for a view of 1024 x 1024.

Memory: 24 numbers a voxel from forward to backward, 25 more during it, and 24 of 8 bytes where
deterministic.
"""

import functools
import importlib.util
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxsds.render.rays import RayBundle

CHANNELS = 4  # of a face, see `composite`
ACROSS, DOWN = 8, 4  # pixels of a tile: one warp, so that rays wait only for near neighbours


class _Scene(NamedTuple):
    """Scene that the kernels draw, on one device, C-contiguous."""

    opacity: Tensor  # (X, Y, Z)
    faces: Tensor  # (X, Y, Z, 6, 4), see paint.paint
    background: Tensor  # (3,)
    eyes: Tensor  # (B, 3)
    bases: Tensor  # (B, 3, 3)
    threshold: float  # as rounded to the opacity's type
    stop: float  # a ray ends at this transmittance


def _rounded(threshold: float, dtype: torch.dtype) -> float:
    """The threshold as numbers of `dtype` are compared with it."""
    return torch.tensor(threshold, dtype=dtype).item()


def _sizes(opacity: Tensor, rays: RayBundle) -> tuple[int, int, int, int, int]:
    """(X, Y, Z, H, W)."""
    x, y, z = opacity.shape
    return x, y, z, rays.height, rays.width


def _over_tiles(rays: RayBundle) -> tuple[int, int]:
    """One program a tile of each view."""
    return -(-rays.width // ACROSS) * -(-rays.height // DOWN), rays.eye.shape[0]


@functools.cache
def _kernels() -> Any:
    """The kernels; their module cannot be imported where Triton is missing."""
    from voxsds.render import triton_kernels

    return triton_kernels


# As on the CPU, no product and sum are fused: a fused one rounds otherwise, and visits other voxels.
_TILE = {"ACROSS": ACROSS, "DOWN": DOWN, "num_warps": 1, "enable_fp_fusion": False}


def _fixed_point(scene: _Scene, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """(scale, 1 / scale) of sums in 64 bits, powers of two; NaN where something is not finite.

    What a pixel adds to one number is at most 8 c max |cotangent| (four channels, here and behind).
    """
    colors = torch.stack([*scene.faces.aminmax(), *scene.background.aminmax()]).abs().amax()
    largest = 8 * colors.clamp(min=1) * cotangent.abs().amax() + 0 * scene.opacity.sum()
    pixels = cotangent.numel() // 4
    exponent = torch.frexp(largest.double() * pixels).exponent
    finite = torch.where(largest.isfinite(), 1.0, torch.nan).double()
    return torch.ldexp(finite, 62 - exponent), torch.ldexp(finite, exponent - 62)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, opacity, faces, rays, background, threshold, stop):
        opacity, faces, background = opacity.contiguous(), faces.contiguous(), background.contiguous()
        kind, views = opacity.dtype, rays.eye.shape[0]
        image = opacity.new_empty((views, 4, rays.height, rays.width))
        reach = torch.zeros_like(opacity)
        with torch.cuda.device_of(opacity):
            eyes, bases = rays.eye.to(opacity.device), rays.basis.to(opacity.device)
            scene = _Scene(
                opacity, faces, background, eyes.contiguous(), bases.contiguous(),
                _rounded(threshold, kind), float(stop),
            )  # fmt: skip
            bits = reach.view(torch.int32 if kind == torch.float32 else torch.int64)
            _kernels().forward[_over_tiles(rays)](*scene, image, bits, *_sizes(opacity, rays), **_TILE)
        ctx.save_for_backward(*scene[:5])
        ctx.knobs = rays, scene.threshold, scene.stop
        ctx.mark_non_differentiable(reach)
        return image, reach

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, faces, background, eyes, bases = ctx.saved_tensors
        rays, threshold, stop = ctx.knobs
        scene = _Scene(opacity, faces, background, eyes, bases, threshold, stop)
        fixed = torch.are_deterministic_algorithms_enabled()
        cotangent, sizes = cotangents[0].contiguous(), _sizes(opacity, rays)
        sums = torch.zeros_like(faces, dtype=torch.int64 if fixed else None)
        with torch.cuda.device_of(opacity):
            scale, unit = _fixed_point(scene, cotangent) if fixed else (cotangent, cotangent)
            _kernels().backward[_over_tiles(rays)](
                *scene, cotangent, scale, sums, *sizes, FIXED=fixed, **_TILE
            )
        by_faces = (sums * unit).to(cotangent) if fixed else sums
        return None, by_faces, None, None, None, None


def composite(
    opacity: Float[Tensor, "X Y Z"],
    faces: Float[Tensor, "X Y Z 6 4"],
    rays: RayBundle,
    background: Float[Tensor, "3"],
    threshold: float,
    min_transmittance: float,
) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
    """(rgba, reach), see `renderer.render`; float32 or float64 as the opacity is.

    Four aligned numbers are read, and added to, at once. The opacity's gradient comes back in the fourth
    channel of `faces`, for which `paint.paint_with_room` makes room, and not by `opacity` itself.
    """
    return _Composite.apply(opacity, faces, rays, background, threshold, min_transmittance)


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """(voxel, face), see `renderer.first_hit`."""
    opacity = opacity.detach().contiguous()
    shape = (rays.eye.shape[0], rays.height, rays.width)
    voxel, face = (torch.empty(shape, dtype=torch.int64, device=opacity.device) for _ in range(2))
    eyes, bases = rays.eye.to(opacity.device).contiguous(), rays.basis.to(opacity.device).contiguous()
    limit = _rounded(threshold, opacity.dtype)
    with torch.cuda.device_of(opacity):
        _kernels().first_hit[_over_tiles(rays)](
            opacity, eyes, bases, limit, voxel, face, *_sizes(opacity, rays), **_TILE
        )
    return voxel, face


def problem(device: torch.device) -> str | None:
    """Why grids on `device` cannot be drawn, and what to do; None where they can.

    Triton's interpreter draws those on the CPU too, slowly.
    """
    if not importlib.util.find_spec("triton"):
        return (
            "renderer backend 'triton' needs the package triton, which comes with torch for CUDA on Linux;"
            " use 'auto'"
        )
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return (
            f"renderer backend 'triton' is for CUDA, the grid is on {device}; use 'auto', or set"
            " TRITON_INTERPRET=1 to test the kernels on the CPU"
        )
    return None


def bytes(
    shape: Sequence[int],  # X, Y, Z
    pixels: int,  # of all views
) -> int:
    """Memory of a backward in float32: colours of the faces, and gradients."""
    sums = 24 * 8 if torch.are_deterministic_algorithms_enabled() else 0
    return math.prod(shape) * (4 * (24 + 25) + sums)
