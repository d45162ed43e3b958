"""The table of the experiments, from rows as DVC gives them."""

from pathlib import Path

import pandas as pd

from voxsds.cli.experiments import COLUMNS, experiments
from voxsds.files.disk import read_json
from voxsds.files.params import read_params

OF_DVC = {"Created", "State"}


def found(**more):
    """A row of `dvc exp show`, the few columns that matter here and one that does not."""
    row = {"Experiment": None, "rev": "workspace", "Created": None, "State": None, "prompt": "a stone tower"}
    return {**row, "lr": 0.03, "seed": 7.0, "loss.total": 0.123, **more}


def test_every_experiment_has_a_line_with_its_name_and_what_was_asked():
    rows = [found(), found(rev="main"), found(rev="1a2b3c", Experiment="slower", lr=0.02, Created="10:15 AM")]
    head, *lines = experiments(rows).splitlines()
    assert head.split() == ["experiment", "created", "prompt", "lr", "seed"]
    assert [line.split()[0] for line in lines] == ["workspace", "main", "slower"]
    assert lines[0].split()[1:] == ["-", "a", "stone", "tower", "0.03", "7"]
    assert lines[2].split()[1:] == ["10:15", "AM", "a", "stone", "tower", "0.02", "7"]


def test_figures_are_rounded_and_long_prompts_are_whole():
    (_, line) = experiments([found(prompt="snow " * 30, **{"quality.score.after": 0.61844182})]).splitlines()
    assert line.count("snow") == 30 and line.split()[-1] == "0.6184"


def test_the_columns_are_parameters_and_figures_of_this_project():
    figures = read_json("out_local/report/metrics.json")
    (known,) = pd.json_normalize(figures | read_params(Path("params.yaml"))).to_dict("records")
    assert set(COLUMNS) - OF_DVC <= set(known)
