"""Poses of views: one law for the teacher's data and for the optimisation."""

from dataclasses import dataclass

import numpy as np

from voxsds.world.cameras import Camera, Frame, look_at

USUAL_HEIGHT = 0.75  # of a world, in widths; the teacher's are 32 x 24 x 32


@dataclass(frozen=True)
class PoseLaw:
    """Level orbits around the middle of a world."""

    elevation_degrees: tuple[float, float]
    radius: tuple[float, float]  # in widths max(X, Z) of the world
    fov_y_degrees: float
    target_height: float  # share of the world's height Y
    target_jitter: float  # share of the width, on each axis


def orbit_pose(
    law: PoseLaw,
    shape: tuple[int, int, int],
    frame: Frame,
    size: int,  # pixels, square
    azimuth_degrees: float,
    elevation_degrees: float,
    radius: float,  # in widths of the world
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),  # of the target, in blocks
    id: str = "",
) -> Camera:
    """A camera on an orbit; azimuth 0 looks from +x (east), 90 from +z (south)."""
    width = max(shape[0], shape[2])
    target = np.array([shape[0] / 2, shape[1] * law.target_height, shape[2] / 2]) + np.array(offset)
    azimuth, elevation = np.radians([azimuth_degrees, elevation_degrees])
    direction = [np.cos(elevation) * np.cos(azimuth), np.sin(elevation), np.cos(elevation) * np.sin(azimuth)]
    eye = target + radius * width * np.array(direction)
    far = 4 * radius * width * frame.scale
    return look_at(frame.to_world(eye), frame.to_world(target), law.fov_y_degrees, size, size, id, far=far)


def farther(shape: tuple[int, int, int]) -> float:
    """Factor on an orbit's radius that keeps a tall world in view; 1 up to 3/4 as high as wide."""
    return max(1.0, shape[1] / max(shape[0], shape[2]) / USUAL_HEIGHT)


def sample_pose(
    law: PoseLaw, shape: tuple[int, int, int], frame: Frame, size: int, rng: np.random.Generator
) -> Camera:
    """A random pose of the law."""
    jitter = law.target_jitter * max(shape[0], shape[2])
    return orbit_pose(
        law,
        shape,
        frame,
        size,
        azimuth_degrees=rng.uniform(0, 360),
        elevation_degrees=rng.uniform(*law.elevation_degrees),
        radius=rng.uniform(*law.radius),
        offset=tuple(rng.uniform(-jitter, jitter, 3)),
    )
