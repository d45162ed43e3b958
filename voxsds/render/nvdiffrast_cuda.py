"""The renderer by rasterisation: nvdiffrast peels voxel faces off, layer by layer; torch composites them.

There to be compared with: the exact walk of `triton_cuda` does the same in one kernel. nvdiffrast's
licence allows research and evaluation only, so nothing needs it, and `auto` never picks it.

**What it draws.** All voxels, empty ones too: they get a derivative, and `reach` is about them. A layer
is the next face for each pixel; layers are peeled until no ray can change a pixel, or a derivative, by
more than `min_transmittance` (see `numba_kernels._walk`). Without gradients that is less.

**What it gets wrong.** The rasteriser snaps corners to 1/16 pixel: a pixel whose middle is that near an
edge may see the voxel beside it. All other pixels have the walk of the other backends. Of voxels in
whose face the eye lies, nothing is seen.

Memory: 4 bytes a pixel and layer between forward and backward, as much again (8 in float64) during it;
layers are at most X + Y + Z. On the mesh 88 bytes a face; at most `nvdiffrast_mesh.MAX_QUADS` faces.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxsds.render.nvdiffrast_mesh import Mesh, mesh
from voxsds.render.rays import RayBundle

CHANNELS = 3  # of a face


class Layers(NamedTuple):
    """Faces that the pixels of one view see, front to back."""

    rows: Int[Tensor, "K pixels"]  # 6 * voxel + face; -1 = nothing, or nothing that still matters
    residual: Float[Tensor, ""]  # the most light, of any pixel, that what was not peeled could still stop


@functools.cache
def _context(device: torch.device) -> Any:
    """The rasteriser's buffers on `device`."""
    import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]: optional

    return dr.RasterizeCudaContext(device=device)


def _peeler(scene: Mesh, rays: RayBundle) -> Any:
    """nvdiffrast's DepthPeeler for one view."""
    import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]: optional

    context, size = _context(scene.vertices.device), (rays.height, rays.width)
    return dr.DepthPeeler(context, scene.vertices, scene.triangles, size, grad_db=False)


def _next_rows(peeler: Any, scene: Mesh) -> Int[Tensor, " pixels"]:
    """Rows of the next layer. The rasteriser counts triangles from 1; 0 is the background."""
    triangle = peeler.rasterize_next_layer()[0][0, ..., 3].reshape(-1).long() - 1
    return torch.where(triangle < 0, -1, scene.row[(triangle // 2).clamp(min=0)])


def _drawn(
    opacity: Float[Tensor, " voxels"], rows: Int[Tensor, " pixels"], threshold: float
) -> Float[Tensor, " pixels"]:
    """Opacity as drawn, float64: 0 at or under the threshold, and where there is nothing."""
    a = opacity[(rows // 6).clamp(min=0).long()]
    return torch.where((rows < 0) | (a <= threshold), 0.0, a.double())


@torch.no_grad()
def peel(
    opacity: Float[Tensor, "X Y Z"],
    rays: RayBundle,
    view: int,
    threshold: float,
    stop: float,  # transmittance
    beyond: bool,  # go on behind where rays end, as far as a derivative can tell
) -> Layers:
    """Layers of one view that matter: peels until every ray's light, or weight, is at most `stop`."""
    scene, flat = mesh(opacity.shape, rays, view), opacity.reshape(-1)
    alive = torch.ones(rays.height * rays.width, dtype=torch.bool, device=flat.device)
    left = torch.ones_like(alive, dtype=torch.float64)  # of the light; at the end, of rays cut off
    least, others = torch.ones_like(left), torch.ones_like(left)
    layers = []
    if len(scene.row) == 0:
        return Layers(torch.empty((0, len(alive)), dtype=torch.int32, device=flat.device), left.amax() * 0)
    with _peeler(scene, rays) as peeler:
        while alive.any():
            rows = torch.where(alive, _next_rows(peeler, scene), -1)
            passed = 1 - _drawn(flat, rows, threshold)
            left = left * passed
            others = others * torch.maximum(passed, least)
            least = torch.minimum(passed, least)
            layers.append(rows.int())
            left = torch.where(alive & (rows < 0), 0.0, left)  # the background has been reached
            alive = (rows >= 0) & ~((others if beyond else left) <= stop)
    return Layers(torch.stack(layers), left.amax())


def _arrivals(
    opacity: Float[Tensor, " voxels"], rows: Int[Tensor, "K pixels"], threshold: float, stop: float
) -> tuple[Float[Tensor, "K pixels"], Float[Tensor, " pixels"]]:
    """(light with which rays arrive at each layer, what is left): as it was once a ray has ended."""
    left = torch.ones(rows.shape[1], dtype=torch.float64, device=rows.device)
    arriving = opacity.new_empty(rows.shape)
    for layer, row in enumerate(rows):
        arriving[layer] = left
        left = torch.where(left <= stop, left, left * (1 - _drawn(opacity, row, threshold)))
    return arriving, left


def _spread(
    index: Int[Tensor, " pixels"], counts: Bool[Tensor, " pixels"], size: int
) -> Int[Tensor, " pixels"]:
    """`index` where it counts; elsewhere any place, so that no two of the zeros added there collide."""
    return torch.where(counts, index.long(), torch.arange(len(index), device=index.device) % size)


class _Composite(torch.autograd.Function):
    """(color and alpha, reach) of one view from its layers; see `numba_kernels` for the derivatives."""

    @staticmethod
    def forward(ctx, opacity, table, rows, background, threshold, stop):
        arriving, left = _arrivals(opacity, rows, threshold, stop)
        color = left[:, None].to(table) * background
        reach = torch.zeros_like(opacity)
        for row, light in zip(rows, arriving, strict=True):
            lighted = (row >= 0) & ~(light <= stop)
            weight = torch.where(lighted, light * _drawn(opacity, row, threshold), 0.0).to(table)
            color += weight[:, None] * table[row.clamp(min=0).long()]
            voxel = _spread(row // 6, lighted, len(opacity))
            reach.scatter_reduce_(0, voxel, torch.where(lighted, light, 0.0), "amax")
        ctx.save_for_backward(opacity, table, rows, background)
        ctx.knobs = threshold, stop
        ctx.mark_non_differentiable(reach)
        return torch.cat([color, 1 - left[:, None].to(table)], dim=1), reach

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        opacity, table, rows, background = ctx.saved_tensors
        threshold, stop = ctx.knobs
        cotangent = cotangents[0]
        arriving, _ = _arrivals(opacity, rows, threshold, stop)
        behind = (cotangent[:, :3] * background).sum(dim=1)
        sums = table.new_zeros((len(table), 4))
        for row, light in zip(rows.flip(0), arriving.flip(0), strict=True):
            lighted = (row >= 0) & ~(light <= stop)
            a = _drawn(opacity, row, threshold).to(table)
            here = (cotangent[:, :3] * table[row.clamp(min=0).long()]).sum(dim=1) + cotangent[:, 3]
            by_color, by_opacity = (light * a)[:, None] * cotangent[:, :3], light * (here - behind)
            sent = torch.where(lighted[:, None], torch.cat([by_color, by_opacity[:, None]], dim=1), 0.0)
            sums.index_add_(0, _spread(row, lighted, len(table)), sent)  # sums[row] += sent would sort
            behind = torch.where(row >= 0, a * here + (1 - a) * behind, behind)
        return sums[:, 3].reshape(-1, 6).sum(dim=1), sums[:, :3], None, None, None, None


def _moved(rays: RayBundle, device: torch.device) -> RayBundle:
    return replace(rays, eye=rays.eye.to(device), basis=rays.basis.to(device))


def composite(
    opacity: Float[Tensor, "X Y Z"],
    faces: Float[Tensor, "X Y Z 6 3"],
    rays: RayBundle,
    background: Float[Tensor, "3"],
    threshold: float,
    min_transmittance: float,
) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
    """(rgba, reach), see `renderer.render`; float32 or float64 as the opacity is."""
    rays, table, flat = _moved(rays, opacity.device), faces.reshape(-1, 3), opacity.reshape(-1)
    wanted = torch.is_grad_enabled() and (opacity.requires_grad or faces.requires_grad)
    images, reach = [], torch.zeros_like(flat)
    for view in range(rays.eye.shape[0]):
        rows = peel(opacity, rays, view, threshold, min_transmittance, wanted).rows
        image, arriving = _Composite.apply(flat, table, rows, background, threshold, min_transmittance)
        images.append(image.T.reshape(4, rays.height, rays.width))
        reach = torch.maximum(reach, arriving)
    return torch.stack(images), reach.reshape(opacity.shape)


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """(voxel, face), see `renderer.first_hit`: one layer of the voxels over the threshold."""
    rays, hits = _moved(rays, opacity.device), []
    for view in range(rays.eye.shape[0]):
        scene = mesh(opacity.shape, rays, view, opacity > threshold)
        if len(scene.row) == 0:
            hits.append(torch.full((rays.height * rays.width,), -1, device=opacity.device))
            continue
        with _peeler(scene, rays) as peeler:
            hits.append(_next_rows(peeler, scene))
    rows = torch.stack(hits).reshape(-1, rays.height, rays.width)
    return torch.where(rows < 0, -1, rows // 6), torch.where(rows < 0, -1, rows % 6)


def problem(device: torch.device) -> str | None:
    """Why grids on `device` cannot be drawn, and what to do; None where they can."""
    if not importlib.util.find_spec("nvdiffrast"):
        return (
            "renderer backend 'nvdiffrast' needs the package nvdiffrast (for research and evaluation only):"
            " pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast@v0.4.0;"
            " or use 'auto'"
        )
    if device.type == "cuda":
        return None
    return f"renderer backend 'nvdiffrast' is for CUDA, the grid is on {device}; use 'auto'"


def bytes(
    shape: Sequence[int],  # X, Y, Z
    pixels: int,  # of all views
) -> int:
    """Memory of a backward in float32: colours of the faces, and gradients; a mesh of up to three faces a
    voxel; the layers of every pixel."""
    return math.prod(shape) * (4 * (18 + 25) + 3 * 88) + 8 * pixels * sum(shape)
