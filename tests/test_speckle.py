"""Lone blocks of another material: found, repainted, and the input map's own left alone."""

import numpy as np

from voxsds.materials import AIR, GRASS, SAND, SNOW, STONE
from voxsds.speckle import repaint_speckles, speckles, visible


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
