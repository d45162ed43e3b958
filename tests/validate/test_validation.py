"""Looking at a result: from views nobody saw, at the file that was exported, with a verdict on each claim."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from teacher.worlds.materials import ENGINE, GRASS
from tests.helpers.small_run import (
    FRAME,
    GRADIENTS,
    LAW,
    SETTINGS,
    SHAPE,
    dataset,
    grassland,
    small_run,
    snow_with_post,
)
from tests.helpers.tiny_evaluator import save_tiny_evaluator
from voxsds.blocks.counts import ADDED, KEPT, REPAINTED, EditCounts, changes
from voxsds.render.draw import PSNR_CEILING, draw
from voxsds.validate.checks import failed
from voxsds.validate.criteria import (
    gradient_criteria,
    photograph_criteria,
    quality_criteria,
    run_criteria,
)
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.figures import BeforeAfter, Figures, MapFile, Progress, Swap
from voxsds.validate.held_out import Ring, azimuth, held_out_cameras
from voxsds.validate.photographs import Agreement, Photograph
from voxsds.validate.run import ProbeMargin
from voxsds.validate.validation import validate
from voxsds.validate.views import ValidateSettings
from voxsds.world.maps import BlockMap
from voxsds.world.poses import orbit_pose

PROMPT = "a stone tower on snowy hills"


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    return Evaluator.load(save_tiny_evaluator(tmp_path_factory.mktemp("evaluator")))


def judge(run, evaluator):
    return validate(run, evaluator, distractor_captions(PROMPT, 5, 0), LAW, SETTINGS)


@pytest.fixture(scope="module")
def result(evaluator):
    return judge(small_run(PROMPT, grassland(), snow_with_post()), evaluator)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 123.0, 359.0])
def test_azimuth_is_that_of_the_orbit(degrees):
    camera = orbit_pose(LAW, SHAPE, FRAME, 32, degrees, 30.0, 1.35)
    assert azimuth(camera, SHAPE, FRAME) == pytest.approx(degrees, abs=1e-9)


def test_held_out_views_stand_in_the_middle_between_the_datasets():
    ring = held_out_cameras(Ring(12, (30.0,), 1.4), LAW, SHAPE, FRAME, 32, dataset(12))
    assert [azimuth(c, SHAPE, FRAME) for c in ring] == pytest.approx([15 + 30 * i for i in range(12)])


@pytest.mark.parametrize("count", [5, 12, 24, 36])
def test_no_held_out_view_shares_an_azimuth_with_the_dataset(count):
    ring = held_out_cameras(Ring(24, (20.0, 40.0), 1.4), LAW, SHAPE, FRAME, 32, dataset(count))
    taken = np.array([azimuth(c, SHAPE, FRAME) for c in dataset(count)])
    for camera in ring:
        apart = np.abs((azimuth(camera, SHAPE, FRAME) - taken + 180) % 360 - 180)
        assert apart.min() > 1.0


def test_held_out_views_need_no_dataset():
    assert len(held_out_cameras(Ring(9, (30.0,), 1.4), LAW, SHAPE, FRAME, 32, [])) == 9


def test_changes_name_the_fate_of_every_block():
    before, after = np.array([[[1, 1, 2, 0, 0]]]), np.array([[[1, 2, 0, 3, 0]]])
    assert changes(before, after).tolist() == [[[KEPT, REPAINTED, 0, ADDED, 0]]]


def test_a_drawn_block_world_has_only_the_colours_of_its_faces_and_the_sky():
    image = draw(BlockMap(grassland(), ENGINE, FRAME), dataset()[:1])[0]
    assert len(np.unique(image.flatten(1).T.numpy().round(4), axis=0)) <= 4  # top, two sides, sky


def test_figures_count_the_edit_that_was_made(result):
    figures = result.figures
    assert figures.edit == EditCounts(added=4, removed=0, repainted=64, kept=0, floating=0)
    assert figures.map == MapFile(valid=True, blocks=68)
    assert figures.materials.before["Grass"] == 1.0


def test_speckle_and_the_kept_share_of_what_could_be_seen_are_told(result, evaluator):
    quality = result.figures.quality
    assert quality.kept_share == 0.0 and quality.speckle == 0.0  # all ground repainted, evenly
    lone = snow_with_post()
    lone[1, 0, 1] = GRASS
    quality = judge(small_run(PROMPT, grassland(), lone), evaluator).figures.quality
    assert quality.kept_share == pytest.approx(1 / 64) and quality.speckle == pytest.approx(1 / 67)


def test_a_grid_that_is_all_but_hard_looks_like_its_blocks(result):
    """sigma(3 / 0.1) is 1 in single precision; the other materials keep 7 e^(-4 / 0.15) of the colour."""
    assert result.figures.quality.soft_hard_psnr_db > 60


def test_views_in_the_report_are_those_scored_drawn_larger(result, evaluator):
    assert len(result.views) == SETTINGS.pictured
    assert all(view.after.shape == (3, 48, 48) for view in result.views)
    cameras = held_out_cameras(SETTINGS.ring, LAW, SHAPE, FRAME, 32, dataset())
    images = draw(BlockMap(snow_with_post(), ENGINE, FRAME), cameras)
    scores = evaluator.scores(images, [PROMPT])[::2, 0]
    assert [view.score_after for view in result.views] == pytest.approx(scores.tolist(), abs=1e-5)


def test_a_world_left_as_it_is_gains_nothing(evaluator):
    unchanged = judge(small_run(PROMPT, grassland(), grassland()), evaluator)
    swap, score = unchanged.figures.swap, unchanged.figures.quality.score
    assert swap.gain_prompt == swap.gain_others == 0.0
    assert score.before == score.after
    missed = "\n".join(check.name for check in failed(unchanged.criteria))
    for criterion in ("improve toward the prompt", "clear progression", "prompt's own"):
        assert criterion in missed


def test_the_control_scores_the_same_pictures_under_other_texts(result, evaluator):
    texts = [other.text for other in result.others]
    assert len(texts) == SETTINGS.other_prompts and PROMPT not in texts
    cameras = held_out_cameras(SETTINGS.ring, LAW, SHAPE, FRAME, 32, dataset())
    images = draw(BlockMap(grassland(), ENGINE, FRAME), cameras)
    expected = evaluator.scores(images, texts).mean(dim=0).tolist()
    assert [other.before for other in result.others] == pytest.approx(expected, abs=1e-5)


def test_the_datasets_images_are_held_against_our_render_where_there_are_any(result, evaluator):
    assert result.figures.photographs is None
    run = small_run(PROMPT, grassland(), snow_with_post())
    images = draw(BlockMap(grassland(), ENGINE, FRAME), dataset())
    taken = [Photograph(camera, image) for camera, image in zip(dataset(), images, strict=True)]
    judged = judge(replace(run, photographs=taken), evaluator)
    assert judged.figures.photographs.views == len(dataset())
    assert judged.figures.photographs.flat_psnr_db == PSNR_CEILING
    assert len(judged.criteria) == len(result.criteria) + 1 and judged.criteria[-1].passed


@pytest.mark.parametrize(("decibels", "passed"), [(40.0, True), (39.9, False)])
def test_images_that_show_something_else_fail_the_check(decibels, passed):
    (check,) = photograph_criteria(Agreement(3, 35.0, decibels, 0.9, differing=0.01))
    assert check.passed == passed and "1.00% of all pixels differ" in check.figure
    assert photograph_criteria(None) == ()


@pytest.fixture(scope="module")
def good(result) -> Figures:
    """Figures under which every criterion of the run and of its result is met."""
    changed: dict[str, Any] = {
        "quality.r_precision": BeforeAfter(0.0, 0.9),
        "quality.score": BeforeAfter(0.1, 0.3),
        "quality.probe_margin": ProbeMargin(-0.02, 0.01),
        "quality.soft_hard_psnr_db": 30.0,
        "swap": Swap(gain_prompt=0.2, gain_others=0.0, score_others=0.1),
        "progress": Progress(pixel_change=0.2, score_first=0.1, score_last=0.3),
    }
    figures = result.figures
    for key, value in changed.items():
        figures = with_value(figures, key, value)
    return figures


def with_value(record: Any, key: str, value: Any) -> Any:
    """`record` with another value of the field at `key`, such as quality.score.after."""
    name, _, inner = key.partition(".")
    return replace(record, **{name: with_value(getattr(record, name), inner, value) if inner else value})


def missed(figures: Figures) -> list[str]:
    return [check.name for check in failed((*run_criteria(figures), *quality_criteria(figures)))]


SPOILED = [
    ("quality.probe_margin.end", -0.03, "SDS loss decreases"),
    ("quality.score.after", 0.05, "improve toward the prompt"),
    ("map.valid", False, "valid and renderable"),
    ("run.steps", 3, "completes without errors"),
    ("progress.pixel_change", 0.001, "clear progression"),
    ("progress.score_last", 0.05, "clear progression"),
    ("quality.r_precision.after", 0.79, "R-precision"),
    ("quality.soft_hard_psnr_db", 27.9, "look like the trained grid"),
    ("edit.floating", 1, "No floating block"),
    ("swap.gain_others", 0.25, "prompt's own"),
]


@pytest.mark.parametrize(("key", "value", "criterion"), SPOILED)
def test_each_criterion_fails_by_its_own_figure_alone(good, key, value, criterion):
    assert missed(good) == []
    (name,) = missed(with_value(good, key, value))
    assert criterion in name


@pytest.mark.parametrize(("before", "count"), [(0.9, 0), (0.7, 3)])
def test_a_map_that_looks_like_the_prompt_already_has_nothing_to_improve(good, before, count):
    quality = replace(good.quality, r_precision=BeforeAfter(before, 0.9), score=BeforeAfter(0.3, 0.3))
    progress, swap = Progress(0.0, 0.3, 0.3), Swap(0.0, 0.0, 0.1)
    assert len(missed(replace(good, quality=quality, progress=progress, swap=swap))) == count


@pytest.mark.parametrize(
    ("key", "value", "criterion"),
    [
        ("differentiable", False, "flow to the material logits"),
        ("occupancy.differentiable", False, "flow to the occupancy logits"),
        ("gradient_health_score", 0.5, "health score"),
        ("has_nan_gradients", True, "NaN"),
        ("has_inf_gradients", True, "NaN or Inf"),
        ("gradient_norm_l2", 0.9, "norm"),
        ("gradient_norm_l2", 1001.0, "norm"),
        ("blocks_with_gradients", 0.49, "visible blocks"),
    ],
)
def test_each_criterion_of_differentiability_fails_by_its_own_figure(key, value, criterion):
    assert failed(gradient_criteria("", GRADIENTS)) == ()
    (check,) = failed(gradient_criteria("", with_value(GRADIENTS, key, value)))
    assert criterion in check.name


@pytest.mark.parametrize(
    "wrong",
    [{"ring": Ring(7, (30.0,), 1.4)}, {"pictured": 9}, {"other_prompts": 6}, {"ring": Ring(8, (), 1.4)}],
)
def test_knobs_that_do_not_fit_together_are_refused(wrong):
    knobs = {name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__}
    with pytest.raises(ValueError, match="validate: "):
        ValidateSettings(**(knobs | wrong))


def test_a_world_that_the_camera_sees_nothing_of_is_still_measured(evaluator):
    empty = np.zeros(SHAPE, dtype=np.int64)
    empty[0, 0, 0] = 1
    quality = judge(small_run(PROMPT, grassland(), empty), evaluator).figures.quality
    assert np.isfinite(quality.soft_hard_psnr_db)
