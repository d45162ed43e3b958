"""Figures have types: what is written of them, what is read back, and how one more is added."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import yaml

from tests.helpers.pages import ROOT
from tests.helpers.report_page import make_page
from voxsds.cli.experiments import COLUMNS
from voxsds.files.disk import read_json, write_json
from voxsds.report.page import Page, html, write_report
from voxsds.validate.checks import Check
from voxsds.validate.figures import Figures
from voxsds.validate.headline import Headline, read_headline
from voxsds.validate.run import Run
from voxsds.world.palette import AIR

RECORDED = ROOT / "out_local/report/metrics.json"
MOST = 25  # numbers that a comparison of two runs shows


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    return make_page(tmp_path_factory.mktemp("evaluator"), "a stone tower")


def leaves(tree: dict, place: str = "") -> Iterator[str]:
    """The keys of all that is no object, as DVC spells them: quality.score.after."""
    for key, value in tree.items():
        here = f"{place}.{key}" if place else key
        if isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here


def test_the_recorded_headline_is_read_and_written_to_the_last_bit():
    assert asdict(read_headline(RECORDED)) == read_json(RECORDED)


def test_the_headline_fits_a_screen_and_holds_numbers_alone(page):
    told = asdict(page.validation.headline)
    assert len(list(leaves(told))) <= MOST
    assert all(isinstance(value, int | float) for value in values(told))
    shown = yaml.safe_load((ROOT / "dvc.yaml").read_text())["metrics"]
    assert shown == [RECORDED.relative_to(ROOT).as_posix()]  # nothing else adds to them


def values(tree: dict) -> Iterator[object]:
    for value in tree.values():
        if isinstance(value, dict):
            yield from values(value)
        else:
            yield value


def test_the_table_of_experiments_shows_figures_that_the_headline_has(page):
    wanted = {key for key in COLUMNS if key.partition(".")[0] in Headline.__dataclass_fields__}
    assert len(wanted) >= 4 and wanted <= set(leaves(asdict(page.validation.headline)))


def test_the_headline_is_part_of_all_figures(page, tmp_path):
    write_report(tmp_path, page)
    metrics, figures = (read_json(tmp_path / f"{name}.json") for name in ("metrics", "figures"))
    for group in ("quality", "edit", "run"):
        assert metrics[group] == figures[group]
    assert metrics["gradcheck"] == {"ok": figures["gradcheck"]["before"]["ok"], "ok_after": True}
    for passed, count in ((True, "passed"), (False, "failed")):
        assert metrics["verdicts"][count] == sum(c["passed"] == passed for c in figures["criteria"])
    assert metrics["verdicts"]["failures"] == sum(not check["passed"] for check in figures["failures"]) > 0


def test_a_headline_of_another_version_is_refused_with_the_remedy(page, tmp_path):
    told = asdict(page.validation.headline)
    del told["quality"]["score"]["after"]
    write_json(tmp_path / "metrics.json", told)
    with pytest.raises(ValueError, match=r"metrics.json: quality: score: after is missing; run the stage"):
        read_headline(tmp_path / "metrics.json")


def test_a_check_reads_as_a_line_and_says_what_to_try_where_it_failed():
    check = Check("Haze", False, "20 % soft", "Train longer.")
    assert str(check) == "FAIL  Haze: 20 % soft. Train longer."
    assert str(replace(check, passed=True)) == "PASS  Haze: 20 % soft"


# A metric is a field, the line that measures it, and a check if it judges.


@dataclass(frozen=True)
class WithHeight(Figures):
    height: int  # layers of the result that hold a block


def measured(run: Run, figures: Figures) -> WithHeight:
    return WithHeight(**vars(figures), height=int((run.after.blocks != AIR).any(axis=(0, 2)).sum()))


def tall(figures: WithHeight) -> Check:
    return Check("The result is tall", figures.height > 5, f"{figures.height} layers", "Ask for a tower.")


def with_toy(page: Page) -> Page:
    figures = measured(page.run, page.validation.figures)
    criteria = (*page.validation.criteria, tall(figures))
    return replace(page, validation=replace(page.validation, figures=figures, criteria=criteria))


def test_a_new_metric_is_written_and_its_check_counted_and_shown(page, tmp_path):
    write_report(tmp_path, with_toy(page))
    assert read_json(tmp_path / "figures.json")["height"] == 5  # the ground, and a post of four
    verdicts = read_json(tmp_path / "metrics.json")["verdicts"]
    assert verdicts["failed"] == page.validation.headline.verdicts.failed + 1
    shown = (tmp_path / "index.html").read_text()
    assert shown.count("The result is tall") == 3  # at the top, with what to try, and among all checks
    assert shown.count("Ask for a tower.") == 2


def test_nothing_is_left_of_a_metric_that_was_removed(page):
    assert "The result is tall" not in html(page)
    assert "height" not in json.dumps(page.validation.as_json())


def test_figures_hold_no_array_and_no_number_that_is_not_finite(page):
    text = json.dumps(page.validation.as_json(), allow_nan=False)
    assert json.loads(text)["edit"]["added"] == int(np.sum(page.run.after.blocks[:, 1:] != AIR))
