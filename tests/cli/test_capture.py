"""Datasets made for a map: orbits all around, walks that see the build, and nothing from inside a wall."""

from pathlib import Path

import numpy as np
import pytest

from teacher.worlds.materials import ENGINE, STONE
from tests.helpers.edit import house_on_grass
from voxsds.cli.capture import EYE, CaptureSettings, capture, orbit_cameras, sees, walk_cameras
from voxsds.files.disk import read_image
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import first_hit
from voxsds.world.cameras import Frame, look_at
from voxsds.world.datasets import read_dataset
from voxsds.world.field import solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR
from voxsds.world.poses import PoseLaw, farther

LAW = PoseLaw((15.0, 52.0), (1.3, 1.65), 45.0, 0.36, 0.05)


def world_of(blocks: np.ndarray) -> BlockMap:
    return BlockMap(blocks, ENGINE, Frame((blocks.shape[0] / 2, blocks.shape[2] / 2)), {})


def house() -> BlockMap:
    return world_of(house_on_grass().astype(np.int64))


def tower() -> BlockMap:
    blocks = np.zeros((6, 40, 6), np.int64)
    blocks[1:5, :38, 1:5] = STONE
    return world_of(blocks)


def inside_a_block(world: BlockMap, point: np.ndarray) -> bool:
    at = np.floor(point).astype(int)
    return bool((at >= 0).all() and (at < world.blocks.shape).all() and world.blocks[tuple(at)] != AIR)


@pytest.mark.parametrize("make", [house, tower])
def test_every_view_sees_the_build_from_outside_its_blocks(make, tmp_path: Path) -> None:
    world = make()
    cameras = capture(world, tmp_path, CaptureSettings(6, 8, 32), LAW, "test")
    opacity = solid_field(world.blocks, len(world.palette) - 1).opacity
    seen = first_hit(opacity, ray_bundle(cameras, world.frame)).voxel.numpy()
    assert len(cameras) == 6 + 8
    for camera, voxels in zip(cameras, seen, strict=True):
        assert 0.03 < (voxels >= 0).mean() < 0.9, camera.id
        assert not inside_a_block(world, world.frame.to_grid(camera.position)), camera.id


def test_the_dataset_is_read_back_with_images_of_the_world(tmp_path: Path) -> None:
    cameras = capture(house(), tmp_path, CaptureSettings(3, 2, 24), LAW, "test")
    dataset = read_dataset(tmp_path)
    assert [c.id for c in dataset.cameras] == [c.id for c in cameras]
    assert [c.id.split("_")[0] for c in cameras] == ["ring"] * 3 + ["walk"] * 2
    for path in dataset.image_paths:
        assert path is not None
        image = read_image(path)
        assert image.shape == (24, 24, 3) and image.std() > 0.05


def test_a_tall_world_is_in_view_from_top_to_bottom() -> None:
    """At the usual distance the tower's top would be out of every picture."""
    world = tower()
    assert farther((6, 40, 6)) == pytest.approx(40 / 6 / 0.75) and farther((32, 24, 32)) == 1
    opacity = solid_field(world.blocks, len(world.palette) - 1).opacity
    for voxels in first_hit(opacity, ray_bundle(orbit_cameras(world, 6, 64, LAW), world.frame)).voxel.numpy():
        heights = voxels[voxels >= 0] // 6 % 40
        assert heights.max() == 37 and heights.min() <= 3


def test_walks_stand_on_the_ground_where_nothing_is_in_the_way() -> None:
    """A hut on a plain that reaches to the edges of the grid."""
    blocks = np.zeros((40, 20, 40), np.int64)
    blocks[:, :3] = STONE
    blocks[17:23, 3:9, 17:23] = STONE
    world = world_of(blocks)
    cameras = walk_cameras(world, 8, 32, 45.0)
    assert len(cameras) == 8
    heights = [world.frame.to_grid(camera.position)[1] for camera in cameras]
    np.testing.assert_allclose(heights, 3 + EYE)


def test_views_of_nothing_of_a_wall_and_from_inside_are_no_views() -> None:
    world = world_of(np.pad(np.full((4, 4, 4), STONE), 6))
    middle = np.zeros(3)
    eyes = {"free": (24.0, 16.0, 2.0), "inside": (0.0, 16.0, 0.0), "wall": (5.5, 16.0, 0.0)}
    cameras = [look_at(np.array(at), middle + [0.1, 16.0, 0], 45.0, 32, 32, id) for id, at in eyes.items()]
    away = look_at(np.array([24.0, 16.0, 2.0]), np.array([99.0, 16.0, 2.0]), 45.0, 32, 32, "away")
    assert sees(world, [*cameras, away]) == [True, False, False, False]


@pytest.mark.parametrize(
    ("settings", "message"), [((4, 8, 64), "multiple of 3"), ((6, -1, 64), "-1 walk views")]
)
def test_impossible_counts_are_refused(settings: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptureSettings(*settings)
