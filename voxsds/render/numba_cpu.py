"""The CPU renderer: numba loops behind a torch function with a hand-written gradient.

Rows are dealt to a fixed number of parts, each with its own gradient buffer, and the buffers are
added in order: the result does not depend on how many threads run. Threads are plain ones (the loops
release the GIL), so there is no threading layer that could be missing or dislike being nested.
Memory of a backward: parts * (S + 1) numbers a voxel, and X + Y + Z entries a part for one ray.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxsds.render import numba_kernels as kernels
from voxsds.render.rays import RayBundle

PARTS = 4


def _in_parts(rows: Callable[[int], None]) -> None:
    """Call rows(0) .. rows(PARTS - 1) on as many threads as torch may use."""
    threads = min(PARTS, torch.get_num_threads())
    if threads == 1:
        for part in range(PARTS):
            rows(part)
        return
    list(_pool(threads, os.getpid()).map(rows, range(PARTS)))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process; a forked child, whose parent's threads are gone, gets its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"render-{process}")


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    """The C-contiguous array behind a tensor, converted where it has to be."""
    return tensor.detach().to(dtype).contiguous().numpy()


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(ctx, opacity, material, lit, rays, background, threshold, stop):
        scene = _scene(opacity, material, lit, rays, background, threshold, stop)
        image = np.empty((rays.eye.shape[0], 4, rays.height, rays.width), scene.opacity.dtype)
        reach = np.zeros((PARTS, opacity.numel()), scene.opacity.dtype)
        _in_parts(lambda part: kernels.forward_rows(part, PARTS, scene, image, reach[part]))
        ctx.save_for_backward(opacity, material, lit, background)
        ctx.knobs = rays, threshold, stop
        reached = torch.from_numpy(reach.max(axis=0)).reshape(opacity.shape)
        ctx.mark_non_differentiable(reached)
        return torch.from_numpy(image), reached

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, material, lit, background = ctx.saved_tensors
        rays, threshold, stop = ctx.knobs
        scene = _scene(opacity, material, lit, rays, background, threshold, stop)
        cotangent = _array(cotangents[0], opacity.dtype)
        parts = np.zeros((PARTS, opacity.numel(), 1 + material.shape[-1]), cotangent.dtype)
        _in_parts(lambda part: kernels.backward_rows(part, PARTS, scene, cotangent, parts[part]))
        total = torch.from_numpy(parts.sum(axis=0))
        by_opacity, by_material = total[:, 0].reshape(opacity.shape), total[:, 1:].reshape(material.shape)
        return by_opacity, by_material, None, None, None, None, None


def _scene(opacity, material, lit, rays: RayBundle, background, threshold: float, stop: float):
    """What the kernels take: colours in the opacity's dtype, geometry in float64."""
    dtype = opacity.dtype
    values = _array(opacity, dtype)
    return kernels.Scene(
        eyes=_array(rays.eye, torch.float64),
        bases=_array(rays.basis, torch.float64),
        opacity=values,
        material=_array(material.reshape(-1, material.shape[-1]), dtype),
        solids=(0,) * lit.shape[0],
        lit=_array(lit, dtype),
        background=_array(background, dtype),
        threshold=values.dtype.type(threshold),
        stop=float(stop),
    )


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
    solid = (opacity > threshold).to(torch.float32).contiguous().numpy()
    shape = (rays.eye.shape[0], rays.height, rays.width)
    voxel, face = np.empty(shape, np.int64), np.empty(shape, np.int64)
    eyes, bases = _array(rays.eye, torch.float64), _array(rays.basis, torch.float64)
    _in_parts(lambda part: kernels.first_hit_rows(part, PARTS, eyes, bases, solid, voxel, face))
    return torch.from_numpy(voxel), torch.from_numpy(face)
