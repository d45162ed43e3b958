"""The faces of a grid's voxels that look at a camera, as a mesh for a rasteriser with a depth buffer.

A ray enters every voxel through a face that looks at the eye, and each face between two voxels looks at
it from one of them only. So the faces, peeled off front to back, are the walk of every ray.

Their order needs no distances. Each plane that a ray crosses takes it one voxel further from the eye's
own, counted along the axes; all voxels that a ray enters have different ranks, and the rank is the
depth: a whole number, where distances would differ by less than a depth buffer can tell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from voxsds.render.rays import RayBundle

MAX_QUADS = 2**23  # nvdiffrast takes 2^24 triangles


class Quads(NamedTuple):
    """Faces of voxels; a lattice point (x, y, z) has the number (x (Y + 1) + y) (Z + 1) + z."""

    corners: Int[Tensor, "quads 4"]  # lattice points around the face
    row: Int[Tensor, " quads"]  # 6 * voxel + face
    rank: Int[Tensor, " quads"]  # planes that a ray has crossed on entering there, since the voxel of the eye


class Mesh(NamedTuple):
    """Mesh that is rasterised for one view: triangles 2 q and 2 q + 1 are quad q."""

    vertices: Float[Tensor, "1 corners 4"]  # clip space, row 0 of the image at y = -1
    triangles: Int[Tensor, "triangles 3"]
    row: Int[Tensor, " quads"]  # 6 * voxel + face


def quads(
    shape: Sequence[int],  # X, Y, Z
    eye: Float[Tensor, "3"],  # grid coordinates
    among: Bool[Tensor, "X Y Z"] | None = None,  # the voxels to take; all of them where not given
    device: torch.device | None = None,
) -> Quads:
    """The faces that look at `eye`; those in a plane through the eye, seen edge-on, do not.

    One voxel seen from a corner has three, of rank 1, 2 and 3 along a diagonal of 2 x 2 x 2. ValueError
    where there are more than nvdiffrast takes.
    """
    position = eye.double().cpu()
    cells = [torch.arange(n, device=device) for n in shape]
    steps = [
        (cell - int(at.floor().clamp(-1, n))).abs()
        for cell, at, n in zip(cells, position, shape, strict=True)
    ]
    rank = _grid(steps).sum(dim=-1)
    voxel = torch.arange(rank.numel(), device=device).reshape(rank.shape)
    strides = ((shape[1] + 1) * (shape[2] + 1), shape[2] + 1, 1)
    point = (_grid(cells) * torch.tensor(strides, device=device)).sum(dim=-1)
    found = []
    for axis in range(3):
        low, high = cells[axis] > position[axis].item(), cells[axis] + 1 < position[axis].item()
        along = [-1 if i == axis else 1 for i in range(3)]
        taken = (low | high).reshape(along).expand(rank.shape)
        taken = taken if among is None else taken & among
        face = torch.where(low, 2 * axis + 1, 2 * axis).reshape(along).expand(rank.shape)
        start = point + high.reshape(along) * strides[axis]
        b, c = (strides[i] for i in range(3) if i != axis)
        around = torch.tensor([0, b, b + c, c], device=device)
        found.append((start[taken][:, None] + around, (6 * voxel + face)[taken], rank[taken]))
    made = Quads(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    if len(made.row) > MAX_QUADS:
        raise ValueError(
            f"a grid of {' x '.join(map(str, shape))} has {len(made.row):,} voxel faces that look at the"
            f" camera; nvdiffrast rasterises {MAX_QUADS:,}: use backend 'triton' or a smaller grid"
        )
    return made


def _grid(axes: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "X Y Z 3"]:
    """[x, y, z] -> (axes[0][x], axes[1][y], axes[2][z])."""
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def lattice(shape: Sequence[int], rays: RayBundle, view: int) -> Float[Tensor, "points 3"]:
    """Clip-space x, y and w of every lattice point in one view, float64.

    A point p is seen at the pixel (u, v) and the depth w with p = eye + w basis @ (u, v, 1); so x / w
    = 2 u / W - 1, y / w = 2 v / H - 1. ValueError where the view is no pinhole's.
    """
    basis, eye = rays.basis[view].double(), rays.eye[view].double()
    if basis.det().abs() <= 1e-12 * basis.abs().amax() ** 3:
        raise ValueError(
            f"view {view}: its rays lie in one plane, which backend 'nvdiffrast' cannot rasterise; use 'auto'"
        )
    sides = [torch.arange(n + 1, device=eye.device) for n in shape]
    u, v, w = ((_grid(sides).reshape(-1, 3) - eye) @ basis.inverse().T).unbind(dim=1)
    return torch.stack([2 * u / rays.width - w, 2 * v / rays.height - w, w], dim=1)


def mesh(
    shape: Sequence[int], rays: RayBundle, view: int, among: Bool[Tensor, "X Y Z"] | None = None
) -> Mesh:
    """The faces of `quads` as one view has them, at the depth z / w = 2 rank / (X + Y + Z + 4) - 1."""
    faces = quads(shape, rays.eye[view], among, rays.eye.device)
    x, y, w = lattice(shape, rays, view)[faces.corners].unbind(dim=-1)
    depth = 2 * faces.rank[:, None].double() / (sum(shape) + 4) - 1
    vertices = torch.stack([x, y, depth * w, w], dim=-1).reshape(1, -1, 4).float()
    first = 4 * torch.arange(len(faces.row), device=x.device)
    halves = torch.tensor([[0, 1, 2], [0, 2, 3]], device=x.device)
    triangles = (first[:, None, None] + halves).reshape(-1, 3).int()
    return Mesh(vertices, triangles, faces.row)
