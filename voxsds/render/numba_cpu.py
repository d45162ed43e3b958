"""The CPU renderer: numba loops behind a torch function with a hand-written gradient.

Rows are dealt to a fixed number of parts, each with its own gradient buffer, and the buffers are
added in order: the result does not depend on how many threads run. Threads are plain ones (the loops
release the GIL), so there is no threading layer that could be missing or dislike being nested.
Memory: 18 numbers a voxel from forward to backward, 19 more for each part during it, or fewer where less than
half of the voxels are drawn and seen; and X + Y + Z entries a part for one ray.
"""

import functools
import math
import os
import threading
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
        reached = torch.from_numpy(reach.max(axis=0)).reshape(opacity.shape)
        ctx.save_for_backward(opacity, faces, background, reached)
        ctx.knobs = rays, threshold, stop
        ctx.mark_non_differentiable(reached)
        return torch.from_numpy(image), reached

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, faces, background, reached = ctx.saved_tensors
        rays, threshold, stop = ctx.knobs
        scene = _scene(opacity, faces, rays, background, threshold, stop)
        cotangent = _array(cotangents[0], opacity.dtype)
        shown = _shown(scene, reached.numpy())
        slots = np.where(shown, np.cumsum(shown, dtype=np.int32) - 1, np.int32(-1))
        by_opacity, by_faces = _scratch.zeros(
            cotangent.dtype, (PARTS, opacity.numel()), (PARTS, 6 * int(shown.sum()), 3)
        )
        _in_parts(
            lambda part: kernels.backward_rows(
                part, PARTS, scene, cotangent, slots, by_opacity[part], by_faces[part]
            )
        )
        of_faces = by_faces.sum(axis=0).reshape(-1, 18)  # over the parts, in their order
        if not shown.all():
            of_shown, of_faces = of_faces, np.zeros((opacity.numel(), 18), cotangent.dtype)
            of_faces[shown] = of_shown
        sums = by_opacity.sum(axis=0).reshape(opacity.shape), of_faces.reshape(faces.shape)
        return *map(torch.from_numpy, sums), None, None, None, None


def _shown(scene: kernels.Scene, reached: np.ndarray) -> np.ndarray:
    """The voxels (V,) that get a gradient of their colours: those drawn and seen, or all if they are many."""
    shown = (reached.reshape(-1) > 0) & (scene.opacity.reshape(-1) > scene.threshold)
    return shown if 2 * np.count_nonzero(shown) < shown.size else np.ones_like(shown)


class _Scratch(threading.local):
    """Memory of a thread that stays from backward to backward: to get it anew costs more than to use it."""

    kept = np.empty(0, np.uint8)

    def zeros(self, dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Arrays of zeros, which are valid until the next call."""
        sizes = [math.prod(shape) * dtype.itemsize for shape in shapes]
        if len(self.kept) < sum(sizes):
            self.kept = np.empty(sum(sizes), np.uint8)
        self.kept[: sum(sizes)] = 0
        ends = np.cumsum(sizes).tolist()
        pieces = (self.kept[end - size : end] for end, size in zip(ends, sizes, strict=True))
        return [piece.view(dtype).reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


_scratch = _Scratch()


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
