"""Writes the shipped maps and their datasets; the same bytes every time.

    python -m scripts.make_shipped_worlds

maps/1 is one grassy hill, maps/2 a larger land with a lake, a tower, a house and trees.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from voxsds.cameras import Camera, Frame, ray_bundle
from voxsds.datasets import write_dataset
from voxsds.field import solid_field
from voxsds.maps import BlockMap, write_map
from voxsds.materials import AIR, DEFAULT_PALETTE, STONE
from voxsds.params import read_params, read_section
from voxsds.poses import orbit_pose
from voxsds.render import render
from voxsds.shading import lit_faces
from voxsds.views import CameraSettings
from voxsds.worlds import TEACHER, Attributes, Structure, build

VIEWS = 24
ELEVATIONS = (20.0, 35.0, 50.0)  # degrees, one ring of views each
RADIUS = 1.45  # in widths of the world
IMAGE_SIZE = 256  # pixels


@dataclass(frozen=True)
class Shipped:
    """A world that the repository ships."""

    size: tuple[int, int, int]
    attributes: Attributes
    seed: int
    lift: int  # layers of stone put under it


SHIPPED = {
    1: Shipped((32, 24, 32), Attributes("grassy", "hill"), seed=5, lift=0),
    2: Shipped(
        (64, 48, 64),
        Attributes(
            "grassy",
            "lake",
            (Structure("tower", "stone"), Structure("house", "plank", roof="dirt"), Structure("trees", None, 0)),
        ),
        seed=11,
        lift=6,
    ),
}


def shipped_world(shipped: Shipped) -> BlockMap:
    """The world as a map, lifted onto its stone."""
    blocks = build(shipped.attributes, np.random.default_rng(shipped.seed), TEACHER, shipped.size).blocks
    lifted = np.full(blocks.shape, STONE, np.int64)
    lifted[:, shipped.lift :] = blocks[:, : blocks.shape[1] - shipped.lift]
    if blocks[:, blocks.shape[1] - shipped.lift :].any():
        raise ValueError(f"lifting a world of {shipped.size} by {shipped.lift} pushes blocks out of it; lift less")
    assert (lifted != AIR).any()
    return BlockMap(lifted, DEFAULT_PALETTE, Frame((shipped.size[0] / 2, shipped.size[2] / 2)), {"sequence": 1})


def cameras_around(world: BlockMap, settings: CameraSettings) -> list[Camera]:
    """Rings of views at three elevations, turned against each other."""
    ring = VIEWS // len(ELEVATIONS)
    return [
        orbit_pose(
            settings.law,
            world.blocks.shape,
            world.frame,
            IMAGE_SIZE,
            azimuth_degrees=360 * (i + level / len(ELEVATIONS)) / ring,
            elevation_degrees=elevation,
            radius=RADIUS,
            id=f"ring_{level}_{i}",
        )
        for level, elevation in enumerate(ELEVATIONS)
        for i in range(ring)
    ]


def main() -> None:
    settings = read_section(read_params(Path("params.yaml")), "cameras", CameraSettings)
    for number, shipped in SHIPPED.items():
        world = shipped_world(shipped)
        write_map(Path(f"maps/{number}/map.json"), world)
        cameras = cameras_around(world, settings)
        field = solid_field(world.blocks, len(world.palette) - 1)
        lit = torch.as_tensor(lit_faces(world.palette), dtype=torch.float32)
        images = render(*field, lit, ray_bundle(cameras, world.frame)).rgba[:, :3].movedim(1, -1).numpy()
        write_dataset(Path(f"datasets/{number}"), cameras, list(images), capture_id=f"shipped-{number}")
        print(f"maps/{number}: {int((world.blocks != AIR).sum()):,} blocks, {len(cameras)} views")


if __name__ == "__main__":
    main()
