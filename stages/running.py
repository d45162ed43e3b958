"""The frame of every stage: its parameters, and one line in place of a traceback where it cannot go on."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxsds.files.params import read_params


def run_stage(name: str, stage: Callable[[dict[str, Any]], None], *stops: type[Exception]) -> None:
    """Calls `stage` with the parameters in --params (params.yaml).

    Bad input, the machine's refusals and the stage's own `stops` end the process with 1 and a line on stderr.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=stage.__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    path = parser.parse_args().params
    try:
        stage(read_params(path))
    except (ValueError, OSError, *stops) as error:
        sys.exit(f"{name}: {error}")
