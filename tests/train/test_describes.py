"""Whether a prompt describes a map already is for the teacher to say; then the map is let be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cases import read_cases, with_overrides
from stages.recipe import read_recipe
from teacher.worlds.materials import ENGINE, GRASS, SAND, SNOW, STONE
from tests.helpers.edit import house_on_grass, recipe, tower_on_snow, training
from tests.helpers.oracles import latents_of, oracle, views, world
from voxsds.blocks.limits import EVERYTHING
from voxsds.files.params import read_params, read_section
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import load_teacher
from voxsds.guidance.oracle import OracleTeacher
from voxsds.guidance.probe import probe
from voxsds.train.critic import PROBE_LEVELS
from voxsds.train.training import Scene, Training
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map

SHOWN, OTHER = world(SNOW, STONE), world(GRASS, SAND)
OPEN = replace(EVERYTHING, preserve=None)


class OfWorlds(OracleTeacher):
    """An oracle that counts as taught worlds like these alone."""

    vocabulary = frozenset({"snow"})


def margin(wanted: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Of views of `SHOWN`."""
    return probe(*oracle(wanted, others), latents_of(SHOWN, views()), views(), PROBE_LEVELS).margin


def test_a_prompt_describes_what_it_helps_to_see():
    assert margin([SHOWN], [SHOWN, OTHER]) > 0 > margin([OTHER], [SHOWN, OTHER])


def test_a_prompt_that_says_no_more_than_none_describes_nothing():
    assert margin([SHOWN], [SHOWN]) == 0


def touch(wanted: np.ndarray, kind: type[OracleTeacher] = OfWorlds, edit=OPEN) -> float:
    """What a run from the house takes for `preserve`."""
    worlds = [house_on_grass(), tower_on_snow()]
    asked = oracle([wanted], worlds, 24, kind=kind)
    return training(worlds[0], asked, replace(recipe(), edit=edit), size=24).preserve


def test_only_a_map_that_is_as_described_gets_a_light_touch():
    assert touch(house_on_grass()) == 1
    assert touch(tower_on_snow()) == 0


def test_what_a_person_sets_is_not_measured():
    assert touch(house_on_grass(), edit=replace(EVERYTHING, preserve=0.25)) == 0.25
    assert touch(house_on_grass(), edit=EVERYTHING) == 0


def test_a_teacher_of_images_of_every_kind_is_not_asked():
    assert touch(house_on_grass(), OracleTeacher) == 0


@pytest.mark.slow
def test_the_tiny_teacher_knows_which_prompts_describe_the_shipped_maps(tmp_path):
    params = with_overrides(read_params("params.yaml"), {"edit.preserve": None})
    rules, settings = read_recipe(params), read_section(params, "grid", GridSettings)
    teacher = load_teacher(rules.teacher, tmp_path)
    judged = {"start", "addition", "materials"}
    cases = [
        case for case in read_cases() if case.seed == 7 and (case.kind in judged or case.leaves == "all")
    ]
    assert len(cases) == 7
    for case in cases:
        start = read_map(Path(f"maps/{case.map}/map.json"), ENGINE)
        cameras = read_dataset(Path(f"datasets/{case.map}")).cameras
        grid = DifferentiableVoxelGrid.from_blocks(start.blocks, len(start.palette), settings)
        scene = Scene(start.palette, start.frame, cameras)
        run = Training(grid, scene, teacher, teacher.read(case.prompt, None), rules)
        assert run.preserve == (case.leaves == "all"), case.name
