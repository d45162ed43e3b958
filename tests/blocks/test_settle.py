"""Cleanup: floating parts dropped, propped or let fall, holes closed, changes taken back where need be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.worlds.materials import ENGINE, GRASS, SNOW, STONE
from voxsds.blocks.limits import Limits, no_limits
from voxsds.blocks.neighbours import floating
from voxsds.blocks.settle import Settled, Settling, drop, fill_holes, new_floaters, settle, undo_floating
from voxsds.world.palette import AIR

SIZE = (7, 9, 7)
FREE = no_limits(SIZE, len(ENGINE))
FALLING = Settling(crumb_blocks=0, support_gap=0, stray_blocks=0)


def ground(height: int = 2) -> np.ndarray:
    blocks = np.zeros(SIZE, int)
    blocks[:, :height] = GRASS
    return blocks


def bridge_in_the_air() -> np.ndarray:
    """An upside-down L: seven blocks above, one that hangs two lower."""
    blocks = ground()
    blocks[:, 7, 3] = STONE
    blocks[0, 5:7, 3] = STONE
    return blocks


def test_drop_removes_every_new_group_and_counts_it():
    blocks = bridge_in_the_air()
    blocks[5, 4, 5] = SNOW
    assert drop(blocks, ground(), FREE) == Settled(groups_dropped=2, blocks_dropped=10)
    assert np.array_equal(blocks, ground())


def test_what_falls_keeps_its_form_and_rests_on_its_lowest_part():
    blocks = bridge_in_the_air()
    assert settle(blocks, ground(), FALLING, FREE) == Settled(groups_fallen=1, blocks_fallen=9)
    assert (blocks[:, 4, 3] == STONE).all() and (blocks[0, 2:4, 3] == STONE).all()
    assert (blocks != AIR).sum() == ground().astype(bool).sum() + 9 and not floating(blocks).any()


def test_what_falls_stops_on_a_block_that_stands_inside_its_column():
    """A ring around a post: its lower arm is beside the post, its upper arm over it."""
    blocks = ground()
    blocks[3, 2:5, 3] = SNOW
    blocks[4, 4:8, 3] = blocks[3, 7, 3] = STONE
    blocks[3, 4, 3] = AIR
    settle(blocks, ground(), FALLING, FREE)
    assert (blocks[4, 2:6, 3] == STONE).all() and blocks[3, 5, 3] == STONE
    assert (blocks[3, 2:4, 3] == SNOW).all()


def test_a_group_may_come_to_rest_on_one_that_fell_before():
    blocks = ground()
    blocks[2:5, 4, 3] = STONE
    blocks[3, 7, 2:5] = SNOW
    settled = settle(blocks, ground(), FALLING, FREE)
    assert settled.groups_fallen == 2 and not floating(blocks).any()
    assert (blocks[2:5, 2, 3] == STONE).all() and (blocks[3, 3, 2:5] == SNOW).all()


def test_nothing_falls_into_a_place_that_may_not_change():
    blocks, free = bridge_in_the_air(), np.ones(SIZE, bool)
    free[6, 4, 3] = False
    limits = Limits(free, FREE.materials, None)
    assert settle(blocks, ground(), FALLING, limits) == Settled()
    assert np.array_equal(blocks, bridge_in_the_air())
    assert undo_floating(blocks, ground()) == 9 and np.array_equal(blocks, ground())


def test_a_prop_of_a_material_that_may_not_be_used_is_not_built():
    blocks, materials = ground(), FREE.materials.copy()
    blocks[2:5, 3, 2:5] = STONE
    materials[STONE] = False
    settling = Settling(crumb_blocks=2, support_gap=2, stray_blocks=4)
    limits = Limits(FREE.free, materials, None)
    assert settle(blocks, ground(), settling, limits) == Settled()


def test_what_lost_its_support_gets_it_back():
    initial = ground()
    initial[3, 2:6, 3] = STONE
    blocks = initial.copy()
    blocks[3, 3, 3] = AIR
    assert undo_floating(blocks, initial) == 1 and np.array_equal(blocks, initial)


@given(*[arrays(np.int64, (5, 6, 5), elements=st.sampled_from([AIR, AIR, GRASS, STONE]))] * 2)
def test_nothing_new_floats_when_enough_is_undone(initial, blocks):
    layers = np.flatnonzero(initial.any(axis=(0, 2)))
    blocks[:, : layers[0] if len(layers) else 0] = AIR
    given_blocks, changed = blocks.copy(), (blocks != initial).sum()
    undone = undo_floating(blocks, initial)
    assert not list(new_floaters(blocks, initial))
    assert (blocks != initial).sum() == changed - undone
    assert ((blocks == initial) | (blocks == given_blocks)).all()


def test_a_pit_and_a_missing_brick_are_closed_with_what_is_around_them():
    initial, blocks = ground(), ground()
    blocks[:, :2] = SNOW
    blocks[1, 1, 1] = AIR  # a pit
    blocks[2:7, 2:7, 5:] = STONE
    blocks[4, 4, 5] = AIR  # a brick that lacks in a wall two thick
    blocks[4, 2, 1:4] = SNOW  # a ridge is no hole
    assert fill_holes(blocks, initial, FREE) == 2
    assert blocks[1, 1, 1] == SNOW and blocks[4, 4, 5] == STONE


@pytest.mark.parametrize("width", [2, 3])
def test_a_hole_more_than_one_wide_is_an_edit(width):
    blocks = ground()
    blocks[2 : 2 + width, 1, 3] = AIR
    assert fill_holes(blocks, ground(), FREE) == 0


def test_the_maps_own_pits_and_what_may_not_change_stay():
    initial = ground()
    initial[3, 1, 3] = AIR
    blocks, free = initial.copy(), np.ones(SIZE, bool)
    assert fill_holes(blocks, initial, FREE) == 0
    blocks[2:5, 2:5, 6] = STONE
    blocks[3, 3, 6] = AIR  # open to the front only: behind it is more
    blocks[2:5, 2:5, 5] = STONE
    free[3, 3, 6] = False
    assert fill_holes(blocks, initial, Limits(free, FREE.materials, None)) == 0
    assert fill_holes(blocks, initial, FREE) == 1 and blocks[3, 3, 6] == STONE
