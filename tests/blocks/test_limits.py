"""Limits of the edit: read strictly, obeyed to the bit in training and in every exported cell."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.train import parts_of
from teacher.worlds.materials import DIRT, ENGINE, GRASS, PLANK, SNOW, STONE
from tests.helpers.edit import FRAME, SHAPE, house_on_grass, recipe, tower_on_snow, training
from voxsds.blocks.limits import EVERYTHING, Box, EditSettings, Limits, limits_of, prompted_parts
from voxsds.blocks.settle import new_floaters
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.params import read_section
from voxsds.grid.file import GridFile, read_grid, write_grid
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.oracle import OracleTeacher
from voxsds.render.light import lit_faces
from voxsds.train.restraint import restrain, weight_decay
from voxsds.train.training import train
from voxsds.world.palette import AIR

SIZE = (5, 6, 5)
MATERIALS = len(ENGINE)
WORLDS = arrays(np.int64, SIZE, elements=st.sampled_from([AIR, AIR, GRASS, DIRT, STONE, SNOW]))
LIMITS = st.builds(
    Limits,
    arrays(bool, SIZE),
    arrays(bool, MATERIALS).map(lambda allowed: np.array([True, *allowed[1:]])),
    st.none() | st.integers(0, 60),
)
EXPORTS = st.builds(
    ExportSettings,
    threshold=st.just(0.5),
    seen_reach=st.just(0.1),
    crumb_blocks=st.integers(0, 3),
    support_gap=st.integers(0, 2),
    stray_blocks=st.integers(0, 6),
    repaint_speckles=st.booleans(),
    floating=st.sampled_from(["drop", "settle", "keep"]),
    fill_holes=st.booleans(),
)


def grid_of(blocks: np.ndarray, spread: float = 0.0, seed: int = 0) -> DifferentiableVoxelGrid:
    """The grid of `blocks`, its residuals drawn with that standard deviation."""
    grid = DifferentiableVoxelGrid.from_blocks(blocks, MATERIALS, GridSettings((1, 2), 3.0, 4.0))
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for residual in grid.parameters():
            residual.copy_(torch.randn(residual.shape, generator=draws) * spread)
    return grid


@settings(max_examples=150)
@given(WORLDS, WORLDS, LIMITS, EXPORTS, arrays(np.float32, SIZE, elements=st.sampled_from([0, 0.5, 1])))
def test_no_export_breaks_a_limit_whatever_was_trained(initial, trained, limits, knobs, reach):
    blocks, counts = export_blocks(grid_of(trained), torch.tensor(reach), initial, knobs, limits)
    changed = blocks != initial
    assert not (changed & ~limits.free).any()
    assert limits.materials[blocks[changed]].all()
    assert limits.max_blocks is None or changed.sum() <= limits.max_blocks
    assert limits.excess(blocks, initial) == 0 and counts.changed == changed.sum()
    if knobs.floating != "keep":
        assert not list(new_floaters(blocks, initial))


@settings(max_examples=50)
@given(WORLDS, WORLDS, EXPORTS)
def test_a_budget_of_all_changes_takes_none_away(initial, trained, knobs):
    knobs, reach = replace(knobs, floating="settle"), torch.ones(SIZE)
    free = np.ones(SIZE, bool), np.ones(MATERIALS, bool)
    unlimited, counts = export_blocks(grid_of(trained), reach, initial, knobs, Limits(*free, None))
    limited, _ = export_blocks(grid_of(trained), reach, initial, knobs, Limits(*free, initial.size))
    assert np.array_equal(unlimited, limited) and counts.over_budget == counts.limits_restored == 0


def test_the_budget_builds_from_the_ground_and_keeps_what_is_seen_and_decided():
    initial, trained = np.zeros(SIZE, int), np.zeros(SIZE, int)
    initial[:, 0] = trained[:, 0] = GRASS
    trained[2, 1:6, 2] = STONE  # a tower of five, and a doubtful repaint
    trained[0, 0, 0] = SNOW
    reach = torch.ones(SIZE)
    reach[0, 0, 0] = 0.2
    knobs = ExportSettings(0.5, 0.1, 0, 0, 0, False, "drop", False)
    every = np.ones(SIZE, bool), np.ones(MATERIALS, bool)
    blocks, counts = export_blocks(grid_of(trained), reach, initial, knobs, Limits(*every, 3))
    assert (blocks[2, 1:4, 2] == STONE).all() and blocks[0, 0, 0] == GRASS
    assert (blocks != initial).sum() == 3 and counts.over_budget == 3


@settings(max_examples=50)
@given(WORLDS, LIMITS, st.integers(0, 1000))
def test_a_restrained_grid_cannot_draw_what_is_not_allowed(initial, limits, seed):
    start, grid = grid_of(initial), grid_of(initial, spread=4.0, seed=seed)
    restrain(grid, limits)
    assert not limits.broken(grid.blocks(), initial).any()
    held = torch.tensor(~limits.free)
    assert torch.equal(grid.occupancy_logits[held], start.occupancy_logits[held])
    assert torch.equal(grid.material_logits[held], start.material_logits[held])
    opacity, material = grid.field(0.03, 0.1)
    absent = torch.tensor(limits.free & (initial == AIR))
    assert (material[absent][:, ~limits.materials[1:]] == 0).all() or not limits.materials[1:].any()
    (opacity.sum() + material.square().sum()).backward()
    occupancy, by_material = grid.logit_gradients()
    assert (occupancy[held] == 0).all() and (by_material[:, held] == 0).all()
    assert torch.isfinite(occupancy).all() and torch.isfinite(by_material).all()


def test_everything_may_change_by_default_and_the_grid_is_the_same_to_the_bit():
    blocks = house_on_grass()
    free, plain = grid_of(blocks, spread=1.0), grid_of(blocks, spread=1.0)
    restrain(free, limits_of(EVERYTHING, blocks, ENGINE))
    assert free.free is None and list(free.state_dict()) == list(plain.state_dict())
    assert torch.equal(free.material_logits, plain.material_logits)


def test_a_held_grid_comes_back_from_disk_held(tmp_path):
    blocks = house_on_grass()
    grid = grid_of(blocks, spread=3.0)
    restrain(grid, limits_of(replace(EVERYTHING, lock=("Plank",)), blocks, ENGINE))
    write_grid(tmp_path, GridFile(grid, ENGINE, FRAME, torch.ones(SHAPE)))
    back = read_grid(tmp_path)
    assert back.frame == FRAME and torch.equal(back.grid.occupancy_logits, grid.occupancy_logits)
    assert np.array_equal(back.grid.blocks() == PLANK, (blocks == PLANK) | (grid.blocks() == PLANK))
    assert (back.grid.blocks()[blocks == PLANK] == PLANK).all()


@pytest.mark.slow
def test_a_training_builds_only_where_and_of_what_it_may():
    """The oracle wants the house gone, a stone tower, snow and a pond; the limits leave it a part of that."""
    start = house_on_grass()
    rules = replace(EVERYTHING, region=(Box((8, 0, 8), (19, 15, 19)),), lock=("Dirt",), materials=("Stone",))
    limits = limits_of(rules, start, ENGINE)
    run = training(start, tower_on_snow(), replace(recipe(steps=60), edit=rules), size=24)
    restrain(run.grid, limits)
    for _ in train(run):
        pass
    drawn = run.grid.blocks()
    assert not limits.broken(drawn, start).any()
    assert (drawn[start == DIRT] == DIRT).all() and (drawn[:8] == start[:8]).all()
    assert ((drawn == STONE) & (start == AIR)).sum() > 20  # it did build


@pytest.mark.slow
def test_the_more_is_preserved_the_less_changes():
    changed = []
    for preserve in (0.0, 0.5, 1.0):
        rules = replace(EVERYTHING, preserve=preserve)
        run = training(house_on_grass(), tower_on_snow(), replace(recipe(steps=80), edit=rules), size=24)
        for _ in train(run):
            pass
        changed.append(int((run.grid.blocks() != house_on_grass()).sum()))
    assert changed[0] > 1.1 * changed[1] > 1.2 * changed[2] > 0


def test_the_decay_of_a_light_touch_holds_back_what_is_less_agreed_than_four_fifths():
    """At rest a residual is r / decay; three levels of it move an initial logit of 3 by 3 where r = 4/5."""
    decay = weight_decay(1.0, 3, 3.0)
    assert 3 * 0.8 / decay == pytest.approx(3.0)
    assert weight_decay(0.0, 3, 3.0) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"lock": ["Stome"]},
            r"edit.lock has 'Stome'; the map's .* Grass, .*Did you mean 'Stone'\?",
        ),
        ({"materials": ["Air"]}, "edit.materials has 'Air'; the map's materials are Grass, Dirt"),
        (
            {"region": [{"low": [0, 0, 0], "high": [1, 1, 1]}, {"low": [0, 0, 0], "high": [5, 5, 4]}]},
            r"edit.region\[1\] is \[0, 0, 0\] to \[5, 5, 4\], but the grid of \(5, 6, 5\) blocks goes from "
            r"\[0, 0, 0\] to \[4, 5, 4\]",
        ),
        ({"region": [{"low": [-1, 0, 0], "high": [1, 1, 1]}]}, r"edit.region\[0\] is \[-1, 0, 0\]"),
        ({"region": [{"low": [2, 0, 0], "high": [1, 1, 1]}]}, "low must not exceed high"),
        ({"region": []}, "region is an empty list"),
        ({"materials": []}, "materials is an empty list"),
        ({"preserve": 1.5}, "preserve is 1.5; give 0 to 1"),
        ({"max_blocks": -1}, "max_blocks is -1; give 0 or more"),
        ({"max_blocks": 1.5}, "edit.max_blocks is the float 1.5; write a whole number"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_to_write(change, message):
    section = {"region": None, "lock": [], "materials": None, "max_blocks": None, "preserve": 0.0} | change
    with pytest.raises(ValueError, match=message):
        read = read_section({"edit": section}, "edit", EditSettings)
        limits_of(read, np.zeros(SIZE, int), ENGINE)


def test_boxes_add_up_and_locked_blocks_are_taken_out_of_them():
    blocks = np.zeros(SIZE, int)
    blocks[0, 0, 0] = SNOW
    region = (Box((0, 0, 0), (0, 1, 0)), Box((4, 5, 4), (4, 5, 4)))
    limits = limits_of(replace(EVERYTHING, region=region, lock=("Snow",)), blocks, ENGINE)
    assert np.argwhere(limits.free).tolist() == [[0, 1, 0], [4, 5, 4]]


def two_prompts(steps: int):
    """The whole world shall be `tower_on_snow`, but the box of the house a hut of stone on its grass."""
    start, hut = house_on_grass(), house_on_grass()
    hut[3:7, 3:7, 3:7] = STONE
    boxes = (Box((0, 0, 0), (9, 15, 9), "a stone hut"), Box((0, 0, 0), (19, 15, 19)))
    lit = lit_faces(ENGINE).float()
    worlds = {"": [start], "a tower on snow": [tower_on_snow()], "a stone hut": [hut]}
    teacher = OracleTeacher(worlds, lit, 32)
    question = teacher.read("a tower on snow", None)
    run = training(start, (teacher, question), recipe(steps=steps), size=32)
    file = GridFile(run.grid, ENGINE, FRAME, torch.zeros(SHAPE))
    run.critic.parts = parts_of(replace(EVERYTHING, region=boxes), teacher, question, file)
    return run, hut


def test_a_prompt_of_its_own_moves_the_cells_of_its_box_only():
    run, _ = two_prompts(steps=2)
    inside = run.critic.parts[0].cells
    for own in (inside, ~inside):
        run.advance()
        occupancy, material = run.grid.logit_gradients()
        assert (occupancy[~own] == 0).all() and (material[:, ~own] == 0).all()
        assert (occupancy[own] != 0).any()


@pytest.mark.slow
def test_each_part_comes_to_look_like_its_own_prompt():
    run, hut = two_prompts(steps=160)
    for _ in train(run):
        pass
    drawn, inside, target = run.grid.blocks(), run.critic.parts[0].cells.numpy(), tower_on_snow()
    assert (drawn[3:7, 3:7, 3:7] == STONE).sum() >= 40  # of the 56 blocks of the hut that can be seen
    assert (drawn[inside & (hut == GRASS)] == GRASS).mean() > 0.9  # the snow is not let in
    assert (drawn[~inside & (target == SNOW)] == SNOW).mean() > 0.8


def test_every_cell_follows_one_prompt():
    parts = prompted_parts(
        replace(EVERYTHING, region=(Box((0, 0, 0), (2, 5, 4), "a"), Box((2, 0, 0), (3, 5, 4), "b"))), SIZE
    )
    assert [prompt for prompt, _ in parts] == ["a", "b"]  # nothing is left for the prompt of all
    assert [np.flatnonzero(cells.any(axis=(1, 2))).tolist() for _, cells in parts] == [[0, 1, 2], [3]]
    assert prompted_parts(EVERYTHING, SIZE) == []


def test_a_part_without_a_prompt_asks_the_question_of_the_whole_world():
    run, _ = two_prompts(steps=1)
    hut, rest = run.critic.parts
    assert (hut.question.text, rest.question) == ("a stone hut", run.critic.question)
    file = GridFile(run.grid, ENGINE, FRAME, torch.zeros(SHAPE))
    assert parts_of(EVERYTHING, run.critic.teacher, run.critic.question, file) == []
