"""Cameras that look from where nobody looked before: beside the dataset's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from voxsds.world.cameras import Camera, Frame
from voxsds.world.poses import PoseLaw, orbit_pose


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
