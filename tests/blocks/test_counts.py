"""Figures of worlds and images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxsds.blocks.counts import EditCounts, count_edits, kept_share, material_counts, shares
from voxsds.blocks.neighbours import floating
from voxsds.render.draw import PSNR_CEILING, psnr

WORLDS = arrays(np.int64, (4, 5, 3), elements=st.integers(0, 3))


@pytest.mark.parametrize(("error", "decibels"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0)])
def test_psnr_of_a_uniform_error(error, decibels):
    image = torch.zeros(2, 3, 4, 4)
    assert psnr(image + error, image) == pytest.approx(decibels, abs=1e-3)


def test_psnr_of_equal_images_is_a_finite_number():
    image = torch.rand(3, 4, 4)
    assert psnr(image, image) == PSNR_CEILING


def test_edits_are_counted_by_what_became_of_each_block():
    before = np.array([[[1, 1, 2, 0, 0, 3]]])
    after = np.array([[[1, 2, 0, 3, 0, 3]]])
    assert count_edits(before, after) == EditCounts(added=1, removed=1, repainted=1, kept=2, floating=0)


@given(WORLDS, WORLDS)
def test_every_block_of_both_worlds_is_in_one_count(before, after):
    edits = count_edits(before, after)
    assert edits.kept + edits.repainted + edits.removed == np.count_nonzero(before)
    assert edits.kept + edits.repainted + edits.added == np.count_nonzero(after)


@given(WORLDS)
def test_a_world_kept_as_it_is_has_no_edits(world):
    edits = count_edits(world, world)
    assert (edits.added, edits.removed, edits.repainted) == (0, 0, 0)


def test_the_kept_share_counts_only_the_blocks_that_are_asked_for():
    before = np.array([[[1, 1, 2, 0, 3]]])
    after = np.array([[[1, 2, 0, 3, 3]]])
    assert kept_share(before, after, before > 0) == 0.5
    assert kept_share(before, after, before == 1) == 0.5
    assert kept_share(before, after, before == 3) == 1.0
    assert kept_share(before, after, before == 9) == 1.0  # none to keep


@given(WORLDS, WORLDS)
def test_the_kept_share_of_all_blocks_is_that_of_the_counts(before, after):
    kept = count_edits(before, after).kept
    assert kept_share(before, after, before > 0) * np.count_nonzero(before) == pytest.approx(
        kept if before.any() else 0
    )


def test_a_block_in_the_air_floats_and_its_neighbour_below_the_same_chain_does_not():
    blocks = np.zeros((3, 4, 3), dtype=np.int64)
    blocks[:, 0, :] = 1  # the ground
    blocks[0, 1:3, 0] = 1  # a post
    blocks[1, 2, 0] = 2  # its arm
    blocks[2, 3, 2] = 3  # alone in the air
    expected = np.zeros_like(blocks, dtype=bool)
    expected[2, 3, 2] = True
    np.testing.assert_array_equal(floating(blocks), expected)


def test_blocks_that_touch_by_an_edge_only_do_not_hold_each_other():
    blocks = np.zeros((2, 2, 1), dtype=np.int64)
    blocks[0, 0, 0] = blocks[1, 1, 0] = 1
    assert floating(blocks).sum() == 1


def test_support_finds_its_way_through_a_winding_tunnel():
    """One block thick: up, across, down again, so that no single sweep reaches the end."""
    blocks = np.zeros((7, 6, 2), dtype=np.int64)
    blocks[0, :, 0] = 1
    blocks[0, 5, :] = 1
    blocks[0:3, 5, 1] = 1
    blocks[2, 2:6, 1] = 1
    blocks[2:5, 2, 1] = 1
    blocks[4, 2:5, 1] = 1
    assert floating(blocks).sum() == 0
    blocks[2, 5, 1] = 0
    assert floating(blocks).sum() == 7


@given(WORLDS)
def test_floating_agrees_with_a_search_block_by_block(world):
    solid = {tuple(v) for v in np.argwhere(world).tolist()}
    lowest = min((y for _, y, _ in solid), default=0)
    reached, edge = set(), [v for v in solid if v[1] == lowest]
    while edge:
        x, y, z = voxel = edge.pop()
        if voxel in reached or voxel not in solid:
            continue
        reached.add(voxel)
        edge += [(x - 1, y, z), (x + 1, y, z), (x, y - 1, z), (x, y + 1, z), (x, y, z - 1), (x, y, z + 1)]
    assert {tuple(v) for v in np.argwhere(floating(world)).tolist()} == solid - reached


def test_nothing_floats_in_an_empty_world():
    assert not floating(np.zeros((2, 2, 2), dtype=np.int64)).any()


def test_material_counts_leave_out_air_and_what_is_not_there_and_shares_add_up():
    counts = material_counts(np.array([[[0, 1, 1, 3]]]), ("Air", "Grass", "Dirt", "Stone"))
    assert counts == {"Grass": 2, "Stone": 1}
    assert shares(counts) == {"Grass": pytest.approx(2 / 3), "Stone": pytest.approx(1 / 3)}
    assert shares({}) == {}
