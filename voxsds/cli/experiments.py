"""The experiments on this commit, a line each: what was asked for, and what came of it.

python -m voxsds.cli.experiments
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = {  # of DVC's table, which has a hundred more: heading
    "Created": "created",
    "State": "state",
    "prompt": "prompt",
    "map_id": "map",
    "guidance": "teacher",
    "lr": "lr",
    "seed": "seed",
    "train.steps": "steps",
    "quality.r_precision.after": "R-precision",
    "quality.score.after": "score",
    "quality.soft_hard_psnr_db": "PSNR, dB",
    "verdicts.passed": "passed",
}


def experiments(found: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `dvc exp show` as a table; columns in which no experiment has a value are left out."""
    table = pd.DataFrame(found)
    names = table["Experiment"].fillna(table["rev"]).rename("experiment")
    shown = table.reindex(columns=list(COLUMNS)).rename(columns=COLUMNS)
    shown = pd.concat([names, shown.dropna(axis="columns", how="all")], axis="columns")
    return shown.to_string(index=False, na_rep="-", float_format="{:.4g}".format)


def main() -> None:
    from dvc.api import exp_show
    from dvc.exceptions import DvcException

    try:
        print(experiments(exp_show()))
    except DvcException as error:
        sys.exit(f"experiments: {error}")


if __name__ == "__main__":
    main()
