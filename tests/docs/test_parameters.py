"""docs/parameters.md names every key of params.yaml, and the values there are among those it allows."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.helpers.pages import ROOT, read

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
ROWS = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", read("docs/parameters.md"), flags=re.MULTILINE))


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(a.b.c, value) of everything; entries of `teachers` without their name, as the page has them once."""
    for key, value in values.items():
        if key == "teachers":
            for teacher in value.values():
                yield from leaves(teacher)
        elif isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def allowed(value: Any, values: str) -> bool:
    """Whether the page's column of values allows `value`; each member of a list has to be."""
    if value is None:
        return "null" in values
    if isinstance(value, list):
        return all(allowed(member, values) for member in value)
    if isinstance(value, bool):
        return values == "true or false"
    if isinstance(value, str):
        choices = re.findall(r"`(\w+)`", values)
        return value in choices or any(kind in values for kind in ("text", "path", "entry"))
    if values == "a name or number":
        return True
    if found := re.search(r"(-?\d+) to (\d+)", values):
        within = float(found[1]) <= value <= float(found[2])
    elif found := re.search(r"([>≥]) (\d+)", values):
        within = value > float(found[2]) if found[1] == ">" else value >= float(found[2])
    else:
        return False
    return within and (not values.startswith("integer") or isinstance(value, int))


def test_the_page_has_the_keys_of_the_file_and_no_other() -> None:
    keys = {key for key, _ in leaves(PARAMS)}
    assert sorted(keys - ROWS.keys()) == [], "describe these in docs/parameters.md"
    assert sorted(ROWS.keys() - keys) == [], "docs/parameters.md describes what is not in params.yaml"


def test_what_is_set_is_among_the_values_that_the_page_gives() -> None:
    wrong = [(key, value, ROWS[key]) for key, value in leaves(PARAMS) if not allowed(value, ROWS[key])]
    assert wrong == []


@pytest.mark.parametrize(
    ("value", "values"),
    [(0, "> 0"), (1.5, "integer ≥ 1"), (1.5, "0 to 1"), ("s3", "`as`, `s2`"), (None, "> 0"), (True, "≥ 0"),
     ([0.5, 2], "0 to 1"), (1, "`as`")],
)  # fmt: skip
def test_other_values_are_not(value: Any, values: str) -> None:
    assert not allowed(value, values)
