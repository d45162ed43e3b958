"""The CPU renderer: numba loops behind a torch function with a hand-written gradient.

Rows are dealt to a fixed number of parts, each with its own gradient buffer, and the buffers are
added in order: the result does not depend on how many threads run. Threads are plain ones (the loops
release the GIL), so there is no threading layer that could be missing or dislike being nested.
Memory: 18 numbers a voxel from forward to backward, 19 more for each part during it, and X + Y + Z
entries a part for one ray.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxsds.render import numba_kernels as kernels
from voxsds.render.rays import RayBundle

CHANNELS = 3  # of a face

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


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, opacity, faces, rays, background, threshold, stop):
        scene = _scene(opacity, faces, rays, background, threshold, stop)
        image = np.empty((rays.eye.shape[0], 4, rays.height, rays.width), scene.opacity.dtype)
        reach = np.zeros((PARTS, opacity.numel()), scene.opacity.dtype)
        _in_parts(lambda part: kernels.forward_rows(part, PARTS, scene, image, reach[part]))
        ctx.save_for_backward(opacity, faces, background)
        ctx.knobs = rays, threshold, stop
        reached = torch.from_numpy(reach.max(axis=0)).reshape(opacity.shape)
        ctx.mark_non_differentiable(reached)
        return torch.from_numpy(image), reached

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, faces, background = ctx.saved_tensors
        rays, threshold, stop = ctx.knobs
        scene = _scene(opacity, faces, rays, background, threshold, stop)
        cotangent = _array(cotangents[0], opacity.dtype)
        by_opacity = _zeros((opacity.numel(),), cotangent.dtype)
        by_faces = _zeros((6 * opacity.numel(), 3), cotangent.dtype)
        _in_parts(
            lambda part: kernels.backward_rows(
                part, PARTS, scene, cotangent, by_opacity[part], by_faces[part]
            )
        )
        sums = _summed(by_opacity).reshape(opacity.shape), _summed(by_faces).reshape(faces.shape)
        return *sums, None, None, None, None


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> list[np.ndarray]:
    """A buffer for each part; all but the first, which outlives them, in one piece that gets large pages."""
    return [np.zeros(shape, dtype), *np.zeros((PARTS - 1, *shape), dtype)]


def _summed(buffers: list[np.ndarray]) -> Tensor:
    """The sum, which takes the place of the first: gradients are the largest arrays there are."""
    for other in buffers[1:]:
        np.add(buffers[0], other, out=buffers[0])
    return torch.from_numpy(buffers[0])


def _scene(opacity, faces, rays: RayBundle, background, threshold: float, stop: float):
    """Arrays as the kernels take them: colours in the opacity's dtype, geometry in float64."""
    dtype = opacity.dtype
    values = _array(opacity, dtype)
    return kernels.Scene(
        eyes=_array(rays.eye, torch.float64),
        bases=_array(rays.basis, torch.float64),
        opacity=values,
        faces=_array(faces.reshape(-1, 3), dtype),
        background=_array(background, dtype),
        threshold=values.dtype.type(threshold),
        stop=float(stop),
    )


def composite(
    opacity: Float[Tensor, "X Y Z"],
    faces: Float[Tensor, "X Y Z 6 3"],
    rays: RayBundle,
    background: Float[Tensor, "3"],
    threshold: float,
    min_transmittance: float,
) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
    """(rgba, reach), see `renderer.render`; float32 or float64 as the opacity is."""
    return _Composite.apply(opacity, faces, rays, background, threshold, min_transmittance)


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """(voxel, face), see `renderer.first_hit`."""
    solid = (opacity > threshold).to(torch.float32).contiguous().numpy()
    shape = (rays.eye.shape[0], rays.height, rays.width)
    voxel, face = np.empty(shape, np.int64), np.empty(shape, np.int64)
    eyes, bases = _array(rays.eye, torch.float64), _array(rays.basis, torch.float64)
    _in_parts(lambda part: kernels.first_hit_rows(part, PARTS, eyes, bases, solid, voxel, face))
    return torch.from_numpy(voxel), torch.from_numpy(face)


def problem(device: torch.device) -> str | None:
    """Why grids on `device` cannot be drawn, and what to do; None where they can."""
    if device.type == "cpu":
        return None
    return f"renderer backend 'numba' is for the CPU, the grid is on {device}; use 'auto'"


def bytes(
    shape: Sequence[int],  # X, Y, Z
    pixels: int,  # of all views
) -> int:
    """Memory of a backward in float32: colours of the faces, and each part's gradients."""
    return 4 * math.prod(shape) * (18 + 19 * PARTS)
