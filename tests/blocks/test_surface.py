"""Lone blocks of another material: found, repainted, and the input map's own left alone."""

import numpy as np

from teacher.worlds.materials import GRASS, SAND, SNOW, STONE
from voxsds.blocks.surface import open_faces, repaint_speckles, speckle_share, speckles, visible
from voxsds.world.palette import AIR, FACE_NORMALS


def field(material: int) -> np.ndarray:
    """A flat world of one material, three layers thick."""
    blocks = np.zeros((9, 6, 9), dtype=np.int64)
    blocks[:, :3] = material
    return blocks


def test_a_block_is_visible_where_a_face_is_free_and_the_bottom_is_covered():
    seen = visible(field(SNOW))
    assert seen[:, 2].all() and seen[0, 0].all()
    assert not seen[1:-1, :2, 1:-1].any() and not seen[:, 3:].any()


def test_a_lone_block_becomes_what_is_around_it():
    blocks = field(SNOW)
    blocks[4, 2, 4] = SAND
    assert repaint_speckles(blocks, field(GRASS)) == 1
    assert (blocks == field(SNOW)).all()


def test_what_the_map_had_stays():
    blocks, initial = field(SNOW), field(SNOW)
    blocks[4, 2, 4] = initial[4, 2, 4] = SAND
    assert repaint_speckles(blocks, initial) == 0
    assert blocks[4, 2, 4] == SAND


def test_a_post_and_a_patch_are_no_speckles():
    blocks = field(SNOW)
    blocks[4, 3:6, 4] = STONE
    blocks[1:3, 2, 1:3] = SAND
    found, _ = speckles(blocks)
    assert not found[4, 3:5, 4].any() and not found[1:3, 2, 1:3].any()


def test_nothing_is_found_in_an_empty_world():
    blocks = np.full((4, 4, 4), AIR)
    assert repaint_speckles(blocks, blocks) == 0


def test_open_faces_come_in_the_order_of_the_materials_faces():
    blocks = np.zeros((3, 3, 3), dtype=np.int64)
    blocks[1, 1, 1] = STONE
    for axis, step in zip(
        np.abs(FACE_NORMALS).argmax(axis=1), FACE_NORMALS.sum(axis=1).astype(int), strict=True
    ):
        covered = blocks.copy()
        covered[tuple(np.array([1, 1, 1]) + step * np.eye(3, dtype=int)[axis])] = SNOW
        (gone,) = np.flatnonzero(open_faces(blocks)[:, 1, 1, 1] & ~open_faces(covered)[:, 1, 1, 1])
        assert FACE_NORMALS[gone, axis] == step


def test_the_share_of_speckles_is_that_of_the_blocks_unlike_their_surface():
    blocks = np.zeros((9, 2, 9), dtype=np.int64)
    blocks[:, 0] = SNOW
    assert speckle_share(blocks) == 0
    blocks[4, 0, 4] = SAND
    assert speckle_share(blocks) == 1 / 81
    blocks[4, 0, 5] = SAND  # a pair is no speckle
    assert speckle_share(blocks) == 0


def test_a_checkerboard_of_single_blocks_far_apart_and_a_lone_block_are_told_apart():
    alone = np.zeros((3, 3, 3), dtype=np.int64)
    alone[1, 0, 1] = SAND
    assert speckle_share(alone) == 0  # nothing that it could be like
    rng = np.random.default_rng(0)
    noise = field(SNOW)
    noise[:, 2] = rng.permutation(np.arange(81) % 5 + 1).reshape(9, 9)
    assert speckle_share(noise) > 0.05


def test_the_foot_of_a_wall_is_alike_by_the_side_that_it_shows():
    """A row of stone one high on grass: each has its own kind beside it, though grass is on all sides."""
    blocks = field(GRASS)
    blocks[2:7, 3, 4] = STONE
    assert speckle_share(blocks) == 0
