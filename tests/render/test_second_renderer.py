"""three.js and our renderer draw the same worlds the same, with light, meshes and cameras of their own."""

import numpy as np
import pytest
import torch

from scripts.photograph import photograph
from teacher.worlds.materials import ENGINE
from tests.helpers.small_run import LAW
from voxsds.validate.criteria import LEAST_AGREEMENT
from voxsds.validate.photographs import Photograph, compare
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap
from voxsds.world.poses import orbit_pose

pytestmark = pytest.mark.browser
SHAPE, FRAME = (7, 9, 11), Frame((2.5, 6.0), scale=1.5)  # no two sides alike, the axis off the middle
CUSTOM = np.array([[[0.9, 0.1, 0.3], [0.2, 0.7, 0.1], [0.1, 0.3, 0.95]]])


def cluttered() -> BlockMap:
    """Blocks of all materials here and there, one of its own among them."""
    palette = ENGINE.extended(("Tile",), CUSTOM)
    rng = np.random.default_rng(3)
    blocks = rng.integers(1, len(palette), SHAPE) * (rng.random(SHAPE) < 0.15)
    return BlockMap(blocks, palette, FRAME, {})


def cameras():
    """All around, also from below, where the bottoms of the blocks are seen."""
    heights = (25.0, 60.0, -30.0)
    return [orbit_pose(LAW, SHAPE, FRAME, 128, 72.0 * i, heights[i % 3], 1.5) for i in range(6)]


def test_two_renderers_agree_away_from_edges(chromium):
    images = photograph(chromium, cluttered(), cameras())
    taken = [
        Photograph(camera, torch.from_numpy(image / 255.0).float().permute(2, 0, 1))
        for camera, image in zip(cameras(), images, strict=True)
    ]
    found = compare(cluttered(), taken)
    assert found.flat_psnr_db >= LEAST_AGREEMENT and found.differing < 0.01
    assert found.flat_share > 0.3


def test_a_lonely_face_has_the_colour_of_the_formula(chromium):
    """The top of stone: sky alone as ambient light, and the sun at the cosine of its height."""
    blocks = np.zeros((4, 4, 4), dtype=np.int64)
    blocks[:, 0, :] = 3
    world = BlockMap(blocks, ENGINE, Frame((2.0, 2.0)), {})
    (image,) = photograph(
        chromium, world, [orbit_pose(LAW, (4, 4, 4), Frame((2.0, 2.0)), 64, 30.0, 80.0, 1.4)]
    )
    cosine = 0.85 / np.sqrt(0.4**2 + 0.85**2 + 0.5**2)
    light = 0.55 * np.array([0.53, 0.81, 0.92]) + cosine * np.array([1, 0.97, 0.9])
    expected = np.round(255 * np.minimum(1, np.array([0.58, 0.60, 0.64]) * light))
    assert (np.abs(image[32, 32].astype(float) - expected) <= 1).all()
