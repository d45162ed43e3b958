"""The GPU renderer: Triton kernels behind a torch function with a hand-written gradient.

A forward is two launches, `paint` and `forward`; a backward two, `backward` and `collect`. Nothing
waits for the device or reads from it, so both can be captured in a CUDA graph, all views at once.

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

Memory: 24 numbers a voxel from forward to backward, 24 more (of 8 bytes where deterministic) during it.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxsds.render import triton_kernels
from voxsds.render.rays import RayBundle

ACROSS, DOWN = 8, 4  # pixels of a tile: one warp, so that rays wait only for near neighbours
VOXELS = 32  # of a program of `paint` and `collect`


class _Scene(NamedTuple):
    """What the kernels draw, on one device, C-contiguous."""

    opacity: Tensor  # (X, Y, Z)
    table: Tensor  # (X Y Z, 6, 4): colour of each voxel through each face, and 1
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


def _over_voxels(opacity: Tensor) -> tuple[int]:
    """One program a block of voxels."""
    return (-(-opacity.numel() // VOXELS),)


kernels: Any = triton_kernels  # where triton is missing, a type checker takes a kernel for a plain function

# As on the CPU, no product and sum are fused: a fused one rounds otherwise, and visits other voxels.
_TILE = {"ACROSS": ACROSS, "DOWN": DOWN, "num_warps": 1, "enable_fp_fusion": False}


def _painted(opacity: Tensor, material: Tensor, lit: Tensor) -> Tensor:
    """The table of colours, see `triton_kernels.paint`."""
    table = opacity.new_empty((opacity.numel(), 6, 4))
    kernels.paint[_over_voxels(opacity)](material, lit, table, opacity.numel(), lit.shape[0], VOXELS)
    return table


def _fixed_point(scene: _Scene, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """(scale, 1 / scale) of sums in 64 bits, powers of two; NaN where something is not finite.

    What a pixel adds to one number is at most 8 c max |cotangent| (four channels, here and behind).
    """
    colors = torch.stack([*scene.table.aminmax(), *scene.background.aminmax()]).abs().amax()
    largest = 8 * colors * cotangent.abs().amax() + 0 * scene.opacity.sum()
    pixels = cotangent.numel() // 4
    exponent = torch.frexp(largest.double() * pixels).exponent
    finite = torch.where(largest.isfinite(), 1.0, torch.nan).double()
    return torch.ldexp(finite, 62 - exponent), torch.ldexp(finite, exponent - 62)


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx, opacity, material, lit, rays, background, threshold, stop):
        opacity, lit, background = opacity.contiguous(), lit.contiguous(), background.contiguous()
        kind, views = opacity.dtype, rays.eye.shape[0]
        image = opacity.new_empty((views, 4, rays.height, rays.width))
        reach = torch.zeros_like(opacity)
        with torch.cuda.device_of(opacity):
            scene = _Scene(
                opacity,
                _painted(opacity, material.contiguous(), lit),
                background,
                rays.eye.to(opacity.device).contiguous(),
                rays.basis.to(opacity.device).contiguous(),
                _rounded(threshold, kind),
                float(stop),
            )
            bits = reach.view(torch.int32 if kind == torch.float32 else torch.int64)
            kernels.forward[_over_tiles(rays)](*scene, image, bits, *_sizes(opacity, rays), **_TILE)
        ctx.save_for_backward(*scene[:5], lit)
        ctx.knobs = rays, scene.threshold, scene.stop
        ctx.mark_non_differentiable(reach)
        return image, reach

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, table, background, eyes, bases, lit = ctx.saved_tensors
        rays, threshold, stop = ctx.knobs
        scene = _Scene(opacity, table, background, eyes, bases, threshold, stop)
        fixed = torch.are_deterministic_algorithms_enabled()
        cotangent = cotangents[0].contiguous()
        sums = torch.zeros_like(table, dtype=torch.int64 if fixed else None)
        by_opacity = torch.empty_like(opacity)
        by_material = opacity.new_empty((*opacity.shape, lit.shape[0]))
        with torch.cuda.device_of(opacity):
            scale, unit = _fixed_point(scene, cotangent) if fixed else (cotangent, cotangent)
            kernels.backward[_over_tiles(rays)](
                *scene, cotangent, scale, sums, *_sizes(opacity, rays), FIXED=fixed, **_TILE
            )
            kernels.collect[_over_voxels(opacity)](
                sums, unit, lit, by_opacity, by_material, opacity.numel(), lit.shape[0], fixed, VOXELS
            )
        return by_opacity, by_material, None, None, None, None, None


def render(
    opacity: Float[Tensor, "X Y Z"],
    material: Float[Tensor, "X Y Z S"],
    lit: Float[Tensor, "S 6 3"],
    rays: RayBundle,
    background: Float[Tensor, "3"],
    threshold: float,
    min_transmittance: float,
) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
    """(rgba, reach), see `voxsds.render.render`; float32 or float64 as the opacity is."""
    return _Render.apply(opacity, material, lit, rays, background, threshold, min_transmittance)


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """(voxel, face), see `voxsds.render.first_hit`."""
    opacity = opacity.detach().contiguous()
    shape = (rays.eye.shape[0], rays.height, rays.width)
    voxel, face = (torch.empty(shape, dtype=torch.int64, device=opacity.device) for _ in range(2))
    eyes, bases = rays.eye.to(opacity.device).contiguous(), rays.basis.to(opacity.device).contiguous()
    limit = _rounded(threshold, opacity.dtype)
    with torch.cuda.device_of(opacity):
        kernels.first_hit[_over_tiles(rays)](
            opacity, eyes, bases, limit, voxel, face, *_sizes(opacity, rays), **_TILE
        )
    return voxel, face
