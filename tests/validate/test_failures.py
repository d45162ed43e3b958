"""Each known failure is named when it is there, and none when a world is as its prompt says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from teacher.worlds.degrade import with_floating_blocks, with_noise
from teacher.worlds.materials import DIRT, ENGINE, GRASS, PLANK, SAND, SNOW, STONE, WATER
from tests.helpers.generated_run import described, judged, run_to, soft_as, start
from voxsds.blocks.limits import EVERYTHING, Box, limits_of
from voxsds.captions.attributes import PROMPTS
from voxsds.captions.naming import materials_in
from voxsds.grid.file import GridFile
from voxsds.validate.checks import failed
from voxsds.validate.symptoms import dark_arc, enclosed_voids, haze, lost_columns, stray_material
from voxsds.world.palette import AIR

TOWER, HOUSE = "a stone tower on snowy hills", "a wooden house on a grassy plain"
ISLAND = "a grassy island in the water"
NAMES = ENGINE.names

pytestmark = pytest.mark.slow


def names(run) -> list[str]:
    return [check.name for check in failed(judged(run).failures)]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_no_failure_is_named_where_the_result_is_what_the_prompt_says(prompt):
    assert names(run_to(prompt, described(prompt, seed=1))) == []


def drilled() -> np.ndarray:
    """The tower's world with a pit to the bottom of the grid in every sixth column of a corner."""
    blocks = described(TOWER, 1)
    blocks[:16:2, :, :16:3] = AIR
    return blocks


def without_a_rim() -> np.ndarray:
    """The tower's world without its outermost columns, as a teacher of round landscapes leaves a land."""
    blocks = described(TOWER, 1)
    blocks[0] = blocks[:, :, 0] = AIR
    return blocks


def cut_off() -> np.ndarray:
    """The tower's world without one of its sides, a fifth of the land."""
    blocks = described(TOWER, 1)
    blocks[:7] = AIR
    return blocks


def hazy() -> GridFile:
    """The tower's world with a third of its blocks half there."""
    trained, blocks = soft_as(described(TOWER, 1)), described(TOWER, 1)
    struck = torch.tensor((blocks != AIR) & (np.random.default_rng(0).random(blocks.shape) < 0.3))
    with torch.no_grad():
        trained.grid.occupancy_residuals[0][0, struck] -= 2.98
    return trained


def of_sand() -> np.ndarray:
    return np.where(start().blocks == AIR, AIR, SAND)


def flooded() -> np.ndarray:
    """The house's world with a third of its ground under water."""
    blocks = described(HOUSE, 1)
    third = blocks[:11]
    third[(third == GRASS)] = WATER
    return blocks


def noise() -> np.random.Generator:
    return np.random.default_rng(0)


def noisy() -> np.ndarray:
    return with_noise(described(TOWER, 1).astype(np.uint8), noise()).astype(np.int64)


def crumbled() -> np.ndarray:
    return with_floating_blocks(described(TOWER, 1).astype(np.uint8), noise()).astype(np.int64)


def beyond_the_box():
    """The world is what was asked for, but the change went past the box that it was to keep to."""
    rules = replace(EVERYTHING, region=(Box((0, 0, 0), (15, 23, 31)),))
    return run_to(TOWER, described(TOWER, 1), limits=limits_of(rules, start().blocks, ENGINE))


def over_locked():
    rules = replace(EVERYTHING, lock=("Grass",))
    return run_to(TOWER, described(TOWER, 1), limits=limits_of(rules, start().blocks, ENGINE))


def half_dark() -> np.ndarray:
    """An island that cliffs of water hide from a corner of the ring."""
    blocks = described(ISLAND, 1)
    blocks[:2] = blocks[:24, :, :2] = WATER
    return blocks


SEEDED = {
    "No change": lambda: run_to(TOWER, start().blocks),
    "Needless change": lambda: run_to(TOWER, described(TOWER, 2), before=described(TOWER, 1)),
    "Edit outside what was asked": beyond_the_box,
    "Ground lost": lambda: run_to(TOWER, drilled()),
    "Collapse to one material": lambda: run_to(HOUSE, of_sand()),
    "A material that nobody asked for": lambda: run_to(HOUSE, flooded()),
    "Haze": lambda: run_to(TOWER, described(TOWER, 1), trained=hazy()),
    "Speckle": lambda: run_to(TOWER, noisy()),
    "Floating blocks": lambda: run_to(TOWER, crumbled()),
    "Prompt not understood": lambda: run_to(TOWER, described(HOUSE, 1)),
    "Seen from some sides only": lambda: run_to(ISLAND, half_dark()),
    "Cleanup took away what was asked for": lambda: run_to(
        TOWER, described("a snowy mountain", 1), untidied=described(TOWER, 1)
    ),
}


@pytest.mark.parametrize("fault", SEEDED)
def test_a_seeded_fault_is_named_with_its_figure_and_a_remedy(fault):
    result = judged(SEEDED[fault]())
    (named,) = [check for check in failed(result.failures) if check.name == fault]
    assert any(c.isdigit() for c in named.figure) and named.remedy.endswith(".")
    assert result.headline.verdicts.failures == len(failed(result.failures))


def test_a_fault_that_is_alone_is_named_alone():
    """Those that leave the world as the prompt says must not look like another failure."""
    for fault in ("Edit outside what was asked", "Haze", "Needless change"):
        assert names(SEEDED[fault]()) == [fault]


def test_a_land_may_lose_its_rim_but_not_a_side():
    assert names(run_to(TOWER, without_a_rim())) == []
    assert "Ground lost" in names(run_to(TOWER, cut_off()))


def test_holes_are_empty_columns_that_land_encloses():
    land = np.full((5, 2, 5), GRASS)
    holed = land.copy()
    holed[0, :, 2] = holed[1, :, 2] = AIR  # a cut from the side
    holed[3, :, 3] = AIR  # a hole, and one beside it that is no deeper than a pit
    holed[3, 1, 1] = AIR
    assert lost_columns(land, holed).sum() == 3
    assert np.argwhere(enclosed_voids(holed)).tolist() == [[3, 3]]


def test_changed_blocks_of_a_locked_material_are_counted():
    (failure,) = failed(judged(over_locked()).failures)
    assert failure.name == "Edit outside what was asked"
    changed = ((start().blocks == GRASS) & (described(TOWER, 1) != GRASS)).sum()
    assert failure.figure.startswith(f"{changed} cells")


def test_a_start_that_the_prompt_describes_may_stay():
    world = described(TOWER, 1)
    assert names(run_to(TOWER, world, before=world)) == []


@pytest.mark.parametrize(
    ("text", "materials"),
    [
        (TOWER, {STONE, SNOW}),
        ("a plank bridge over a river", {PLANK, WATER}),
        ("Muddy, bare earth", {DIRT}),
        ("a meadow", set()),
        ("trees beside a lake", {GRASS, PLANK, WATER}),
    ],
)
def test_the_materials_that_a_sentence_names(text, materials):
    assert materials_in(text, ENGINE) == materials


def test_the_ground_under_a_named_ground_is_no_stray():
    growth = np.zeros(len(NAMES))
    growth[[DIRT, SAND]] = 0.3, 0.2
    assert stray_material(growth, "a grassy hill", ENGINE) == (SAND, 0.2)
    assert stray_material(growth, "a sandy hill", ENGINE) == (DIRT, 0.3)
    assert stray_material(growth, "a thing", ENGINE) == stray_material(-growth, TOWER, ENGINE) == (AIR, 0.0)


@pytest.mark.parametrize(
    ("hits", "share"),
    [([1, 0, 0, 1, 0], 0.4), ([0, 1, 0, 0], 0.75), ([1, 1, 1], 0.0), ([0, 0], 1.0), ([0, 1, 1, 0], 0.5)],
)
def test_the_dark_arc_goes_around(hits, share):
    assert dark_arc(torch.tensor(hits, dtype=torch.bool)) == share


def test_haze_counts_only_what_is_seen_and_drawn():
    opacity = torch.tensor([[[0.0, 0.04, 0.5, 0.96, 1.0, 0.5]]])
    reach = torch.tensor([[[1.0, 1.0, 1.0, 1.0, 1.0, 0.05]]])
    assert haze(opacity, reach) == pytest.approx(1 / 3)
    assert haze(opacity * 0, reach) == 0
