"""The suite of prompts: what it runs, how it counts, what it keeps."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.baselines import PRIMARIES, FreeColourGrid, random_edit
from benchmarks.cases import Case, chosen, first_seeds, parsed_overrides, read_cases, with_overrides
from benchmarks.figures import baselines, changes, interval, run_table, summary
from benchmarks.quality import REJECTED, write_page
from benchmarks.recipes import read_ablations
from benchmarks.runs import Job, Outcome, run
from benchmarks.store import Store
from benchmarks.suite import suite_jobs
from benchmarks.suite_sheet import suite_sheet
from stages.recipe import read_recipe
from teacher.worlds.materials import ENGINE, GRASS, SNOW
from tests.helpers.small_run import FRAME, LAW, SHAPE, grassland
from voxsds.blocks.counts import EditCounts, count_edits
from voxsds.captions.sentences import known_words, words
from voxsds.captions.styles import EVALUATOR, TEACHER
from voxsds.files.disk import read_json, write_json
from voxsds.files.params import read_params
from voxsds.grid.logits import GridSettings
from voxsds.render.draw import Placed, draw
from voxsds.train.recipe import Span
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR
from voxsds.world.poses import orbit_pose

PARAMS = read_params("params.yaml")
CASE = Case("a stone tower", "one structure", 1, 7, "nothing")


def figures(prompt: str = "a", r_precision: float = 0.5, **more):
    """A record of the suite, as far as the summary reads it."""
    return {
        "recipe": "voxsds", "name": prompt, "prompt": prompt, "kind": "water", "leaves": "nothing",
        "r_precision": r_precision, "soft_hard_psnr_db": 30.0, "floating": 0, "speckle": 0.01, "kept": None,
        "changed": 0.2, "seconds": 10.0, "no_edit": {"r_precision": 0.1}, "random_edit": {"r_precision": 0.0},
        **more,
    }  # fmt: skip


def test_there_are_56_runs_of_24_prompts_eight_of_them_on_the_second_map():
    cases = read_cases()
    assert len(cases) == 56 and len({case.name for case in cases}) == 56
    assert len({case.prompt for case in cases}) == 24
    assert sorted(case.map for case in cases) == [1] * 48 + [2] * 8
    assert {case.kind for case in cases} == {
        "one structure", "relation", "terrain", "water", "materials", "addition", "start",
    }  # fmt: skip
    assert len(first_seeds(cases)) == 32


def test_teacher_and_evaluator_know_every_word_of_every_prompt():
    known = known_words(TEACHER) & known_words(EVALUATOR)
    taught = set(Path("models/tiny/words.txt").read_text().split())
    for case in read_cases():
        assert set(words(case.prompt)) <= known & taught, case.prompt


def test_cases_are_chosen_by_parts_of_their_prompts():
    cases = read_cases()
    found = chosen(cases, "tower, mountain", [1])
    assert found and all(("tower" in c.prompt or "mountain" in c.prompt) and c.map == 1 for c in found)
    assert chosen(cases) == cases and {case.seed for case in chosen(cases, seeds=[8])} == {8}
    with pytest.raises(ValueError, match="'spaceship'"):
        chosen(cases, "spaceship")


def test_overrides_reach_their_place_and_nothing_else():
    given = parsed_overrides(["teachers.tiny.ask.guidance_scale=5", "grid.levels=[1, 2]", "lr=0.1"])
    assert given == {"teachers.tiny.ask.guidance_scale": 5, "grid.levels": [1, 2], "lr": 0.1}
    before = str(PARAMS)
    changed = with_overrides(PARAMS, given)
    assert changed["teachers"]["tiny"]["ask"]["guidance_scale"] == 5 and str(PARAMS) == before
    with pytest.raises(ValueError, match="did you mean train.steps"):
        with_overrides(PARAMS, {"train.step": 3})
    with pytest.raises(ValueError, match="no lr.start"):
        with_overrides(PARAMS, {"lr.start": 3})
    with pytest.raises(ValueError, match="path=value"):
        parsed_overrides(["lr"])


@pytest.mark.parametrize("name", read_ablations())
def test_every_ablation_is_a_recipe(name):
    job = Job(name, CASE, with_overrides(PARAMS, read_ablations()[name].set))
    recipe = read_recipe(job.settings())
    # Of the recipe of the training:
    outside = ("default", "no-repaint", "no-level-16", "levels-to-4", "one-level")
    assert recipe.seed == 7
    assert (recipe == read_recipe(Job("x", CASE, PARAMS).settings())) == (name in outside)


def test_the_plan_is_run_as_written():
    recipe = read_recipe(Job("plan", CASE, with_overrides(PARAMS, read_ablations()["plan"].set)).settings())
    assert (recipe.lr, recipe.teacher.ask.guidance_scale, recipe.render.threshold) == (0.01, 7.5, 0.01)
    assert recipe.teacher.ask.noise_levels(SHAPE) == ((0.02, 0.02), (0.98, 0.98))
    assert recipe.train.material_temperature == Span(2.0, 0.5)
    assert asdict(recipe.train.penalties) == {
        "sparsity": 0.001, "entropy": 0.0001, "smoothness": 0.0, "binarisation": 0.0,
        "patchwork": 0.0,
    }  # fmt: skip


def test_the_baselines_run_once_for_each_prompt_and_map():
    jobs = suite_jobs(PARAMS, {"lr": 0.02}, read_cases(), with_baselines=True)
    counts = {name: sum(job.recipe == name for job in jobs) for name in ("voxsds", "plan", "free_colours")}
    assert counts == {"voxsds": 56, "plan": 32, "free_colours": 32}
    assert {job.params["lr"] for job in jobs if job.recipe == "plan"} == {0.01}
    assert {job.params["lr"] for job in jobs if job.recipe != "plan"} == {0.02}


@pytest.mark.parametrize("edit", [EditCounts(5, 7, 11, 0, 0), EditCounts(60, 40, 20, 0, 0)])
def test_a_random_edit_is_as_large_as_the_one_it_is_compared_with(edit):
    before = grassland()
    after = random_edit(before, edit, len(ENGINE), np.random.default_rng(0))
    found = count_edits(before, after)
    assert (found.added, found.removed, found.repainted) == (edit.added, edit.removed, edit.repainted)
    assert 0 <= after.min() and after.max() < len(ENGINE)


def test_free_colours_begin_as_the_map():
    before = grassland()
    grid = FreeColourGrid.from_world(before, ENGINE, GridSettings((1, 2), 3.0, 4.0))
    assert np.array_equal(grid.blocks(), before)
    field = grid.field(0.05, 1.0)
    camera = [orbit_pose(LAW, SHAPE, FRAME, 32, 30.0, 30.0, 1.4)]
    drawn = draw(Placed(field, PRIMARIES, FRAME), camera)
    wanted = draw(BlockMap(before, ENGINE, FRAME), camera)
    # A material's top and side differ in colour and a free colour has one for both: grass by 0.05.
    assert (drawn - wanted).abs().max() < 0.1


def test_a_free_colour_becomes_the_nearest_material():
    grid = FreeColourGrid.from_world(grassland(), ENGINE, GridSettings((1,), 3.0, 4.0))
    with torch.no_grad():
        grid.material_residuals[0] += 10.0  # white
    after = grid.blocks()
    assert set(np.unique(after)) == {AIR, SNOW}


def test_the_interval_holds_the_mean_and_shrinks_with_more_values():
    few, many = interval([0, 1] * 12), interval([0, 1] * 120)
    assert few[0] < 0.5 < few[1] and many[1] - many[0] < 0.5 * (few[1] - few[0])
    assert few[1] - few[0] == pytest.approx(2 * 1.96 * 0.5 / 24**0.5, rel=0.1)
    assert interval([1.0] * 24) == [1.0, 1.0]


def test_what_is_kept_depends_on_what_the_prompt_leaves_alone():
    before = grassland()
    after = before.copy()
    after[before == GRASS] = SNOW
    kept_all, kept_shape = (
        changes(before, after, replace(CASE, leaves=leaves))["kept"] for leaves in ("all", "shape")
    )
    assert (kept_all, kept_shape) == (0.0, 1.0)
    assert changes(before, after, CASE)["kept"] is None
    same = changes(before, before, replace(CASE, leaves="all"))
    assert (same["kept"], same["changed"], same["floating"]) == (1.0, 0.0, 0)


def test_the_summary_counts_every_run_and_names_the_worst_prompt():
    stopped = {
        "recipe": "voxsds",
        "name": "b2",
        "prompt": "b",
        "kind": "water",
        "leaves": "nothing",
        "failed": "x",
        "seconds": 2.0,
    }
    runs = [
        figures("a", 1.0, soft_hard_psnr_db=40.0),
        figures("b", 0.5, floating=3, speckle=0.05),
        stopped,
        figures("c", 0.75, leaves="all", kept=0.9, changed=0.1),
    ]
    total = summary(run_table(runs))
    assert (total["runs"], total["failed"], total["floating"]) == (4, 1, 3)
    assert total["r_precision"] == pytest.approx(2.25 / 4)
    assert (total["r_precision_worst_prompt"], total["worst_prompt"]) == (0.25, "b")
    assert total["soft_hard_psnr_db_min"] == 30.0 and total["speckle_max"] == 0.05
    assert total["kept"] == 0.9 and total["changed_where_nothing_was_asked"] == 0.1
    assert summary(run_table([stopped]))["soft_hard_psnr_db"] is None


def test_baselines_are_compared_on_the_cases_that_they_ran_on():
    runs = [figures("a", 1.0), figures("b", 0.0)]
    found = baselines(run_table(runs), {"plan": run_table([figures("a", 0.2)])})
    assert found["no_edit"]["r_precision"] == pytest.approx(0.1)
    assert (found["plan"]["r_precision"], found["plan"]["r_precision_here"]) == (0.2, 1.0)


def measured(r_precision: float) -> Outcome:
    """What a run came to, without what it was."""
    case = ("recipe", "name", *asdict(CASE))
    record = figures(r_precision=r_precision)
    return Outcome({name: value for name, value in record.items() if name not in case}, grassland())


def store(path: Path, device: str = "cpu") -> Store:
    return Store(
        path / "suite.json", "voxsds", {}, device, {"cores": 2, "cpu": "x", "torch": "y", "commit": None}
    )


def test_results_are_found_again_until_something_they_depend_on_changes(tmp_path):
    done, stopped = Job("voxsds", CASE, PARAMS), Job("voxsds", replace(CASE, seed=8), PARAMS)
    first = store(tmp_path)
    first.add(done, measured(0.5))
    first.add(stopped, Outcome({"failed": "no blocks", "seconds": 1.0}, None))
    again = store(tmp_path)
    again.load([done, stopped])
    assert again.runs == first.runs and len(again.runs) == 2
    assert np.array_equal(again.worlds[Store.key(done)], grassland()) and len(again.worlds) == 1
    other = replace(done, params=with_overrides(PARAMS, {"lr": 0.01}))
    for changed, device in ((other, "cpu"), (done, "cuda")):
        fresh = store(tmp_path, device)
        fresh.load([changed])
        assert not fresh.runs


def test_the_page_has_a_row_for_each_recipe_and_what_it_sets(tmp_path):
    results = store(tmp_path)
    results.overrides = {"lr": 0.01}
    results.add(Job("voxsds", CASE, PARAMS), measured(0.75))
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "default.json").write_bytes((tmp_path / "suite.json").read_bytes())
    write_page(tmp_path / "page.md", tmp_path, {})
    text = (tmp_path / "page.md").read_text()
    worst = "0.75 a stone tower"
    assert (
        f"| suite | 1 | – | 0.75 (0.75 to 0.75) | {worst} | 30.0, 30.0 | 0 | 1.0% | – | 10 | `lr: 0.01` |"
        in text
    )
    assert "| a stone tower | 1 | 0.75 | 30.0 | 1.0% |" not in text  # the suite lies a folder higher
    write_page(tmp_path / "page.md", tmp_path / "ablations", {})
    text = (tmp_path / "page.md").read_text()
    assert "| a stone tower | 1 | 0.75 | 30.0 | 1.0% |" in text
    assert "| default | 1 | 0.75, 30.0 dB | 0.75 (0.75 to 0.75) |" in text
    free = summary(run_table([figures(r_precision=0.25)])) | {"r_precision_here": 0.5}
    content = read_json(tmp_path / "suite.json")
    content["summary"]["baselines"] |= {"free_colours": free, "no_edit": {"r_precision": 0.1}}
    write_json(tmp_path / "suite.json", content)
    write_page(tmp_path / "page.md", tmp_path / "ablations", {})
    text = (tmp_path / "page.md").read_text()
    assert "to materials at the end | 1 | 0.50 | 0.25 | 30.0 | 30.0 | 1.0% | 10 |" in text
    assert "| nothing | 1 | 0.75 | 0.10 | – | – | – | – |" in text
    with pytest.raises(ValueError, match="holds no results"):
        write_page(tmp_path / "page.md", tmp_path / "empty", {})


def test_the_page_of_the_docs_is_what_the_results_make(tmp_path):
    write_page(tmp_path / "page.md", Path("benchmarks/results/ablations"), read_ablations())
    assert (tmp_path / "page.md").read_text() == Path("docs/quality.md").read_text()


def test_the_figures_of_the_results_are_those_of_their_runs():
    content = read_json("benchmarks/results/suite.json")
    runs = run_table(content["runs"])
    by_recipe = dict(iter(runs.groupby("recipe")))
    main = by_recipe.pop(content["recipe"]["name"])
    found = {**summary(main), "baselines": baselines(main, by_recipe)}
    assert numbers(found) == pytest.approx(numbers(content["summary"]), abs=1e-9)


def numbers(figures: dict) -> dict[str, float]:
    """All numbers in nested dicts, by their dotted paths."""
    (flat,) = pd.json_normalize(figures).to_dict("records")
    return {path: value for path, value in flat.items() if isinstance(value, int | float)}


def test_results_whose_code_is_gone_keep_their_rows():
    found = {path.stem for path in Path("benchmarks/results/ablations").glob("*.json")}
    assert REJECTED.keys() <= found and not REJECTED.keys() & read_ablations().keys()
    page = Path("docs/quality.md").read_text()
    assert all(f"| {idea} (removed) |" in page for idea in REJECTED.values())


@pytest.mark.slow
def test_a_run_is_trained_exported_and_measured_and_has_its_tile():
    short = with_overrides(PARAMS, {"train.steps": 2, "train.views": 1, "validate.image_size": 32})
    case = replace(CASE, prompt="a grassy hill", leaves="all")
    jobs = [Job("voxsds", case, short), Job("free_colours", case, short, colours="free")]
    runs, worlds = [], {}
    for job in jobs:
        outcome = run(job, "cpu")
        assert outcome.blocks is not None and outcome.blocks.shape == (32, 24, 32)
        assert outcome.figures["kept"] > 0.9 and outcome.figures["floating"] == 0
        # Two steps change nothing: all three pictures are of the start, which the prompt describes.
        assert outcome.figures["r_precision"] == outcome.figures["no_edit"]["r_precision"]
        runs.append({"recipe": job.recipe, "name": case.name, "map": 1, **outcome.figures})
        worlds[Store.key(job)] = outcome.blocks
    sheet = suite_sheet(runs, worlds)
    assert sheet.dtype == np.uint8 and len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20
