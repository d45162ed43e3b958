"""Faces between voxels: which are free, and what the grid's surroundings make of its border."""

import numpy as np
import pytest

from teacher.worlds.degrade import exposed
from voxsds.blocks.neighbours import free_faces
from voxsds.world.palette import FACE_NORMALS


@pytest.mark.parametrize(("mode", "free"), [("constant", 8 * 3), ("edge", 0)])
def test_the_surroundings_say_whether_faces_at_the_border_are_free(mode: str, free: int) -> None:
    """Eight solid voxels in the air have three free faces each; with their like around them, none."""
    faces = free_faces(np.pad(np.ones((2, 2, 2), bool), 1, mode=mode))
    assert faces.shape == (6, 2, 2, 2) and faces.sum() == free


def test_a_hole_frees_the_six_faces_towards_it() -> None:
    solid = np.ones((5, 6, 7), bool)
    solid[2, 3, 4] = False
    faces = free_faces(np.pad(solid, 1, mode="edge"))
    assert faces.sum() == 6
    for face, normal in enumerate(FACE_NORMALS.astype(int)):
        assert faces[face][tuple((2, 3, 4) - normal)]


def test_a_voxel_of_the_air_has_no_faces() -> None:
    rng = np.random.default_rng(0)
    solid = rng.random((4, 5, 6)) < 0.5
    assert not free_faces(np.pad(solid, 1))[:, ~solid].any()


def test_a_block_is_exposed_by_air_beside_or_above_it_in_the_grid_alone() -> None:
    blocks = np.ones((3, 4, 3), np.uint8)
    blocks[1, 3, 1], blocks[0, 0, 2] = 0, 0
    seen = {(int(x), int(y), int(z)) for x, y, z in np.argwhere(exposed(blocks))}
    around_the_hole_on_top = {(0, 3, 1), (2, 3, 1), (1, 3, 0), (1, 3, 2), (1, 2, 1)}
    beside_the_hole_below = {(1, 0, 2), (0, 0, 1)}  # but not (0, 1, 2), which has it underneath
    assert seen == around_the_hole_on_top | beside_the_hole_below
