"""The renderer in plain torch: slow, memory-hungry, and the definition of correct.

All rays walk together, a plane crossing at a time (see `numba_kernels` for which voxels are visited);
the image is then the compositing sum as it stands on paper, and every derivative is autograd's.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from voxsds.render.rays import RayBundle

CHANNELS = 3  # of a face

PARALLEL = 1e-12  # a direction component under this never crosses a plane


def directions(rays: RayBundle) -> Float[Tensor, "rays 3"]:
    """Direction of every ray in float64, views then rows then columns."""
    like = {"dtype": torch.float64, "device": rays.basis.device}
    basis = rays.basis.to(torch.float64)[:, None, None]
    row = torch.arange(rays.height, **like)[None, :, None, None] + 0.5
    column = torch.arange(rays.width, **like)[None, None, :, None] + 0.5
    return (basis[..., 0] * column + basis[..., 1] * row + basis[..., 2]).reshape(-1, 3)


def _first_cells(
    start: Float[Tensor, "rays 3"], towards: Float[Tensor, "rays 3"], inside: Bool[Tensor, "rays 1"]
) -> Float[Tensor, "rays 3"]:
    """Cell of a point; on a plane, the cell ahead of it, or behind it where the ray starts there."""
    below = torch.where(towards > 0, inside, ~inside) & (towards != 0)
    return torch.where(below, torch.ceil(start) - 1, torch.floor(start))


def walk(
    shape: Sequence[int],  # X, Y, Z
    rays: RayBundle,
) -> tuple[Int[Tensor, "steps rays"], Int[Tensor, "steps rays"], Bool[Tensor, "steps rays"]]:
    """Voxels that every ray enters, in order: (flat index, face entered, whether there is a voxel)."""
    towards = directions(rays)
    eye = rays.eye.to(torch.float64).repeat_interleave(rays.height * rays.width, dim=0)
    size = torch.tensor(shape, dtype=torch.float64, device=eye.device)
    parallel = towards.abs() < PARALLEL
    towards = torch.where(parallel, 0.0, towards)
    inverse = 1.0 / torch.where(parallel, 1.0, towards)
    low, high = (0.0 - eye) * inverse, (size - eye) * inverse
    outside = torch.where((eye >= 0) & (eye < size), -torch.inf, torch.inf)
    near = torch.where(parallel, outside, torch.minimum(low, high))
    far = torch.where(parallel, -outside, torch.maximum(low, high))
    start, axis = near.max(dim=1, keepdim=True)
    end = far.min(dim=1, keepdim=True).values
    alive = (start < end) & (end > 0)
    inside = start < 0
    point = eye + towards * torch.where(alive, start.clamp(min=0), 0.0)
    cell = torch.minimum(_first_cells(point, towards, inside).clamp(min=0), size - 1)
    sign = towards.sign()
    plane = torch.where(sign > 0, cell + 1, cell)
    stride = torch.tensor([shape[1] * shape[2], shape[2], 1], device=eye.device)

    voxels, faces, valid = [], [], []
    entered = alive & ~inside
    for _ in range(sum(shape)):
        voxels.append((cell.to(torch.int64) * stride).sum(dim=1))
        faces.append((2 * axis + (towards.gather(1, axis) > 0))[:, 0])
        valid.append(entered[:, 0])
        times = torch.where(parallel, torch.inf, (plane - eye) * inverse)
        axis = _first_minimum(times)
        alive = alive & (times.gather(1, axis) < end)
        step = torch.zeros_like(cell).scatter_(1, axis, 1.0) * sign * alive
        cell, plane = cell + step, plane + step
        entered = alive
    return torch.stack(voxels), torch.stack(faces), torch.stack(valid)


def _first_minimum(times: Float[Tensor, "rays 3"]) -> Int[Tensor, "rays 1"]:
    """Axis of the smallest time; of equal ones x before y before z."""
    x, y, z = times.unbind(dim=1)
    return torch.where((x <= y) & (x <= z), 0, torch.where(y <= z, 1, 2))[:, None]


def drawn_opacity(opacity: Float[Tensor, "*any"], threshold: float) -> Float[Tensor, "*any"]:
    """Opacity as drawn: zero at or under the threshold, with the derivative one everywhere."""
    return torch.where(opacity <= threshold, opacity - opacity.detach(), opacity)


def composite(
    opacity: Float[Tensor, "X Y Z"],
    faces: Float[Tensor, "X Y Z 6 3"],
    rays: RayBundle,
    background: Float[Tensor, "3"],
    threshold: float,
    min_transmittance: float,
) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
    """(rgba, reach), see `renderer.render`. No ray is stopped early, whatever `min_transmittance` is.

    C = sum_i T_i a_i c_i + T_end background, T_{i+1} = T_i (1 - a_i), A = 1 - T_end.
    """
    voxels, entered, valid = walk(opacity.shape, rays)
    alpha = torch.where(valid, drawn_opacity(opacity, threshold).reshape(-1)[voxels], 0.0)
    seen = faces.reshape(-1, 3)[6 * voxels + entered]
    color = opacity.new_zeros(voxels.shape[1], 3)
    transmittance = opacity.new_ones(voxels.shape[1])
    reach = opacity.new_zeros(opacity.numel())
    for voxel, there, a, c in zip(voxels, valid, alpha, seen, strict=True):
        arriving = torch.where(there, transmittance, 0.0).detach()
        reach = reach.scatter_reduce(0, voxel, arriving, "amax")
        color = color + (transmittance * a)[:, None] * c
        transmittance = transmittance * (1 - a)
    color = color + transmittance[:, None] * background
    rgba = torch.cat([color, 1 - transmittance[:, None]], dim=1)
    image = rgba.reshape(-1, rays.height, rays.width, 4).permute(0, 3, 1, 2)
    return image, reach.reshape(opacity.shape)


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """(voxel, face), see `renderer.first_hit`."""
    voxels, faces, valid = walk(opacity.shape, rays)
    solid = valid & (opacity.reshape(-1)[voxels] > threshold)
    first = solid.to(torch.int8).argmax(dim=0, keepdim=True)
    found = solid.any(dim=0)
    shape = (-1, rays.height, rays.width)
    voxel = torch.where(found, voxels.gather(0, first)[0], -1)
    face = torch.where(found, faces.gather(0, first)[0], -1)
    return voxel.reshape(shape), face.reshape(shape)


def problem(device: torch.device) -> str | None:
    """None: it draws grids on every device."""
    return None


def bytes(
    shape: Sequence[int],  # X, Y, Z
    pixels: int,  # of all views
) -> int:
    """Memory of a step in float32: colours of the faces, gradients, and each step of every ray (measured)."""
    return 4 * math.prod(shape) * (18 + 19) + 128 * pixels * sum(shape)
