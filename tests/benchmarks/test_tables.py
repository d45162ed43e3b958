"""The tables of the benchmarks, from the results that lie with them."""

from pathlib import Path

import pandas as pd

from benchmarks.parity import report
from benchmarks.render import table
from benchmarks.tables import markdown, number
from voxsds.files.disk import read_json

RESULTS = Path("benchmarks/results")


def test_a_markdown_table_has_a_line_for_the_names_and_each_row():
    lines = markdown(pd.DataFrame({"prompt": ["a hill", "a tower"], "map": [1, 2]}))
    assert lines == ["| prompt | map |", "| --- | --- |", "| a hill | 1 |", "| a tower | 2 |"]


def test_what_was_not_measured_is_a_dash():
    assert [number(value, ".1f") for value in (1.25, None, float("nan"))] == ["1.2", "–", "–"]


def test_the_page_about_parity_is_what_the_results_make():
    assert report(read_json(RESULTS / "parity.json")) == Path("docs/parity.md").read_text()


def test_the_table_of_the_renderers_has_a_line_for_each_measurement():
    rows = read_json(RESULTS / "render.json")["rows"]
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows, strict=True):
        assert row["backend"] in line and " x ".join(map(str, row["grid"])) in line
        assert row.get("refused", "") in line
