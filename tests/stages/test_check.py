"""All of params.yaml is read before the first stage computes anything."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import check
from tests.helpers.workspace import ROOT

SHIPPED = (ROOT / "params.yaml").read_text()


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load(SHIPPED)


def refused(params: dict[str, Any]) -> list[str]:
    with pytest.raises(ValueError) as error:
        check.main(params)
    assert not Path("out_local").exists(), "nothing is written"
    return str(error.value).splitlines()


def test_what_is_shipped_is_sound_and_leaves_the_same_mark_whatever_it_says(params: dict[str, Any]) -> None:
    marks = set()
    for prompt in ("a snowy mountain", "a grassy island in the water"):
        check.main({**params, "prompt": prompt})
        marks.add(Path("out_local/check/params.json").read_bytes())
    assert len(marks) == 1


def test_mistakes_of_all_sections_are_listed_at_once_each_with_its_place_and_remedy(
    params: dict[str, Any],
) -> None:
    params["export"]["threshold"] = "half"
    params["validate"]["ring"]["view"] = params["validate"]["ring"].pop("views")
    params["learning_rate"] = 0.1
    del params["seed"]
    assert refused(params) == [
        "params.yaml: export.threshold is the text 'half'; write a number",
        "params.yaml: validate.ring.view is unknown; remove it. Did you mean 'views'?",
        "params.yaml: validate.ring.views is missing; add it (a whole number)",
        "params.yaml: learning_rate is unknown; remove it",
        "params.yaml: seed is missing; add it (a whole number)",
    ]


@pytest.mark.parametrize(("key", "value", "message"), [
    ("guidance", "huge", "guidance is 'huge'; choose one of tiny, sdxl, sdxl-lightning"),
    ("prompt", "  ", "prompt is empty; say what the world should look like"),
    ("lr", 0, "lr is 0; give a step of the optimizer over 0, like 0.03"),
])  # fmt: skip
def test_values_that_can_give_no_run_are_refused(
    key: str, value: Any, message: str, params: dict[str, Any]
) -> None:
    params[key] = value
    assert refused(params) == [f"params.yaml: {message}"]
