"""Looking at a result from where nobody looked before: cameras beside the dataset's, plain drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from voxsds.cameras import Camera, Frame
from voxsds.field import Field, solid_field
from voxsds.materials import AIR, Palette
from voxsds.poses import PoseLaw, orbit_pose
from voxsds.rays import ray_bundle
from voxsds.render import render
from voxsds.shading import lit_faces

Images = Float[Tensor, "views 3 height width"]  # 0..1

# What became of a block, as materials that are easy to tell apart.
KEPT, ADDED, REPAINTED = 1, 2, 3
CHANGES = Palette(
    ("Air", "Kept", "Added", "Repainted"),
    np.repeat([[0.0] * 3, [0.62, 0.62, 0.62], [0.18, 0.70, 0.35], [0.98, 0.76, 0.16]], 3, axis=0).reshape(
        4, 3, 3
    ),
)


@dataclass(frozen=True)
class Ring:
    """Views all around a world."""

    views: int
    elevations: tuple[float, ...]  # degrees, taken in turn
    radius: float  # in widths of the world


def held_out_cameras(
    ring: Ring,
    law: PoseLaw,
    shape: tuple[int, int, int],
    frame: Frame,
    size: int,  # pixels, square
    dataset: Sequence[Camera],
) -> tuple[Camera, ...]:
    """An even ring of views, turned to where it stays farthest from the dataset's azimuths.

    Beside a dataset at multiples of 15 degrees a ring of 24 stands at 7.5, 22.5, ...
    """
    spacing = 360 / ring.views
    taken = [azimuth(camera, shape, frame) for camera in dataset]
    starts = np.arange(0, spacing, spacing / 30)
    start = max(starts, key=lambda s: round(_distance(s + spacing * np.arange(ring.views), taken), 6))
    return tuple(
        orbit_pose(
            law,
            shape,
            frame,
            size,
            azimuth_degrees=start + spacing * i,
            elevation_degrees=ring.elevations[i % len(ring.elevations)],
            radius=ring.radius,
            id=f"held-out {i}",
        )
        for i in range(ring.views)
    )


def azimuth(camera: Camera, shape: tuple[int, int, int], frame: Frame) -> float:
    """Degrees from +x towards +z at which a camera stands around the middle of the world, 0..360."""
    eye = frame.to_grid(camera.position) - np.array([shape[0] / 2, 0, shape[2] / 2])
    return float(np.degrees(np.arctan2(eye[2], eye[0])) % 360)


def _distance(angles: Float[np.ndarray, " n"], taken: Sequence[float]) -> float:
    """Smallest angle, degrees, between the two sets of directions; 180 where one is empty."""
    if not len(taken):
        return 180.0
    return float(np.abs((angles[:, None] - np.array(taken) + 180) % 360 - 180).min())


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


def changes(
    before: Integer[np.ndarray, "X Y Z"], after: Integer[np.ndarray, "X Y Z"]
) -> Integer[np.ndarray, "X Y Z"]:
    """The blocks of `after` by what became of them, as materials of `CHANGES`."""
    fate = np.where(before == AIR, ADDED, np.where(before == after, KEPT, REPAINTED))
    return np.where(after == AIR, AIR, fate)
