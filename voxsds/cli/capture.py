"""A dataset for a map: where to look from, and what is seen there.

Orbits look from all around and above, as the teacher's images do. Walks look from the height of a person's
eyes, and only from where the build can be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from voxsds.render.draw import draw
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import first_hit
from voxsds.world.cameras import Camera, look_at
from voxsds.world.datasets import write_dataset
from voxsds.world.field import solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR
from voxsds.world.poses import PoseLaw, farther, orbit_pose

ELEVATIONS = (20.0, 35.0, 50.0)  # degrees, one ring of orbits each
RADIUS = 1.45  # of the orbits, in widths of the world
EYE = 1.7  # of a person, blocks over the ground
LIFTS = (0.0, 2.0, 4.0, 8.0)  # blocks over eye height, tried in turn where something is in the way
DISTANCES = (0.7, 0.85, 1.0, 1.25, 1.5)  # of a walk from the middle, in widths of the world, tried in turn
SEEN = (0.1, 0.75)  # share of a walk's pixels that must show blocks; more is no view but a wall
LEAST_DISTANCE = 2.0  # blocks between the eyes and what is seen
LOOK_SIZE = 32  # pixels of the images that this is tried with


@dataclass(frozen=True)
class CaptureSettings:
    """Numbers of views of each kind, and their size."""

    orbit: int
    walk: int
    size: int  # pixels, square

    def __post_init__(self) -> None:
        """ValueError where there would be no view that an optimisation can start from."""
        if self.orbit < len(ELEVATIONS) or self.orbit % len(ELEVATIONS):
            raise ValueError(f"{self.orbit} orbit views; give a multiple of {len(ELEVATIONS)}, a ring each")
        if self.walk < 0 or self.size < 16:
            raise ValueError(f"{self.walk} walk views of {self.size} pixels; give 0 or more, of 16 or more")


def capture(
    world: BlockMap,
    folder: Path,
    settings: CaptureSettings,
    law: PoseLaw,
    name: str,  # the dataset's captureId
) -> list[Camera]:
    """Writes a dataset of `world` into `folder`; returns its cameras, orbits first.

    There may be fewer walks than asked for, where no place has the build in view.
    """
    cameras = orbit_cameras(world, settings.orbit, settings.size, law)
    cameras += walk_cameras(world, settings.walk, settings.size, law.fov_y_degrees)
    images = draw(world, cameras).movedim(1, -1).numpy()
    write_dataset(folder, cameras, list(images), capture_id=name)
    return cameras


def orbit_cameras(world: BlockMap, views: int, size: int, law: PoseLaw) -> list[Camera]:
    """Rings of views at three elevations, turned against each other: of 24, every 15 degrees one view.

    A world taller than the teacher's is looked at from farther away, in proportion.
    """
    ring = views // len(ELEVATIONS)
    x, y, z = world.blocks.shape
    return [
        orbit_pose(
            law,
            (x, y, z),
            world.frame,
            size,
            azimuth_degrees=360 * (i + level / len(ELEVATIONS)) / ring,
            elevation_degrees=elevation,
            radius=RADIUS * farther((x, y, z)),
            id=f"ring_{level}_{i}",
        )
        for level, elevation in enumerate(ELEVATIONS)
        for i in range(ring)
    ]


def walk_cameras(world: BlockMap, views: int, size: int, fov_y_degrees: float) -> list[Camera]:
    """Views from eye height, evenly around the build; where none sees it, there is none."""
    found = []
    for i in range(views):
        candidates = _standing_points(world, 360 * (i + 0.5) / views)
        cameras = [_towards_middle(world, eye, fov_y_degrees, f"walk_{i}") for eye in candidates]
        chosen = next((c for c, good in zip(cameras, sees(world, cameras), strict=True) if good), None)
        found += [chosen.resized(size, size)] if chosen else []
    return found


def _standing_points(world: BlockMap, azimuth_degrees: float) -> list[Float[np.ndarray, "3"]]:
    """Eye points in the grid, in the order of preference: low before high, near before far."""
    x, _, z = world.blocks.shape
    angle = np.radians(azimuth_degrees)
    towards = max(x, z) * np.array([np.cos(angle), np.sin(angle)])
    places = [np.array([x / 2, z / 2]) + distance * towards for distance in DISTANCES]
    heights = [_ground(world, at) + EYE for at in places]
    return [
        np.array([at[0], height + lift, at[1]])
        for lift in LIFTS
        for at, height in zip(places, heights, strict=True)
    ]


def _ground(world: BlockMap, at: Float[np.ndarray, "2"]) -> int:
    """Height of the column at (x, z), or of the nearest one where the point is outside the grid."""
    x, z = np.clip(at.astype(int), 0, np.array([world.blocks.shape[0], world.blocks.shape[2]]) - 1)
    filled = np.flatnonzero(world.blocks[x, :, z] != AIR)
    return int(filled[-1]) + 1 if filled.size else 0


def _towards_middle(world: BlockMap, eye: Float[np.ndarray, "3"], fov: float, id: str) -> Camera:
    """A small camera at `eye` that looks at the middle of the blocks."""
    filled = np.argwhere(world.blocks != AIR)
    target = filled.mean(axis=0) + 0.5 if len(filled) else np.array(world.blocks.shape) / 2
    to_world = world.frame.to_world
    far = 8 * max(world.blocks.shape) * world.frame.scale
    return look_at(to_world(eye), to_world(target), fov, LOOK_SIZE, LOOK_SIZE, id, far=far)


def sees(world: BlockMap, cameras: Sequence[Camera]) -> list[bool]:
    """Whether each camera has the build in view, from outside its blocks and not too near."""
    opacity = solid_field(world.blocks, len(world.palette) - 1).opacity
    hits = first_hit(opacity, ray_bundle(cameras, world.frame)).voxel.numpy()
    good = []
    for camera, seen in zip(cameras, hits, strict=True):
        eye = world.frame.to_grid(camera.position)
        blocks = np.stack(np.unravel_index(seen[seen >= 0], world.blocks.shape), axis=-1) + 0.5
        nearest = np.linalg.norm(blocks - eye, axis=-1).min(initial=np.inf)
        in_view = SEEN[0] <= (seen >= 0).mean() <= SEEN[1]
        good.append(bool(in_view and nearest >= LEAST_DISTANCE and not _inside_a_block(world, eye)))
    return good


def _inside_a_block(world: BlockMap, point: Float[np.ndarray, "3"]) -> bool:
    at = np.floor(point).astype(int)
    inside = (at >= 0).all() and (at < world.blocks.shape).all()
    return bool(inside and world.blocks[tuple(at)] != AIR)
