"""Small grids and rays for the renderer's tests."""

import numpy as np
import torch

from teacher.worlds.materials import ENGINE
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.world.cameras import Frame, look_at
from voxsds.world.field import Field

LIT = lit_faces(ENGINE)
SOLIDS = LIT.shape[0]
SHAPE = (5, 4, 6)


def random_field(shape=SHAPE, seed=0, dtype=torch.float64) -> Field:
    """Opacities of which a fifth are exactly 0, a tenth exactly 1 and the rest between."""
    generator = torch.Generator().manual_seed(seed)
    opacity = torch.rand(shape, generator=generator, dtype=torch.float64)
    kind = torch.rand(shape, generator=generator)
    opacity = torch.where(kind < 0.2, 0.0, torch.where(kind > 0.9, 1.0, opacity))
    material = torch.rand((*shape, SOLIDS), generator=generator, dtype=torch.float64) ** 4
    material = material / material.sum(dim=-1, keepdim=True)
    return Field(opacity.to(dtype), material.to(dtype))


def looking(eyes, target, width=9, height=7, dtype=torch.float64) -> RayBundle:
    """Views of 60 degrees from `eyes` to `target`, in grid coordinates."""
    frame = Frame((0.0, 0.0), 1.0)
    cameras = [look_at(np.array(e, float), np.array(target, float), 60.0, width, height) for e in eyes]
    return ray_bundle(cameras, frame, dtype)


def parallel(starts, direction) -> RayBundle:
    """One single-pixel view a start, all looking along `direction`."""
    eye = torch.as_tensor(np.array(starts), dtype=torch.float64)
    basis = torch.zeros(len(eye), 3, 3, dtype=torch.float64)
    basis[:, :, 2] = torch.as_tensor(direction, dtype=torch.float64)
    return RayBundle(eye, basis, 1, 1)


def axis_bundle(shape=SHAPE) -> RayBundle:
    """Rays exactly along every axis, both ways, inside, between voxels and along the grid's sides."""
    bundles = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            direction = np.zeros(3)
            direction[axis] = sign
            for offset in (0.0, 0.5, 1.0, 2.25, 4.0):
                start = np.full(3, offset)
                start[axis] = -1.0 if sign > 0 else shape[axis] + 1.0
                bundles.append(parallel([start], direction))
    return RayBundle(torch.cat([b.eye for b in bundles]), torch.cat([b.basis for b in bundles]), 1, 1)


def rays_by_name(scale=1) -> dict[str, RayBundle]:
    """The situations in which derivatives and backends are compared, in images `scale` times as large."""
    middle, wide, tall = [n / 2 for n in SHAPE], (9 * scale, 7 * scale), (4 * scale, 11 * scale)
    return {
        "outside": looking([(9.3, 7.1, 10.2), (-4.0, 2.2, 1.0)], middle, *wide),
        "tall image": looking([(8.0, 6.0, -3.0)], middle, *tall),
        "inside": looking([(2.3, 1.7, 3.4)], (4.0, 1.0, 0.5), *wide),
        "on a plane between voxels": looking([(2.0, 2.0, 3.0)], (4.0, 1.0, 0.0), *wide),
        "along the axes": axis_bundle(),
        "sees nothing": looking([(9.0, 7.0, 10.0)], (18.0, 14.0, 20.0), *wide),
    }
