"""Views per second of one process and of several that share a run's views:

    python -m benchmarks.scaling --processes 2

writes benchmarks/results/scaling.json. The runs are those of params.yaml, its map and its teacher, by
torchrun: a card for each process where there are cards. On a CPU each process has an equal part of the
cores, the single one too, as it would have one card.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.prepared import plain_recipe, prepared
from teacher.worlds.materials import ENGINE
from voxsds.files.disk import write_json
from voxsds.files.params import read_params
from voxsds.train.processes import joined
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map

WARM = 3  # steps, not counted: compiling, and the probe of the first step
MARK = "measured: "


def timed_steps(arguments: argparse.Namespace) -> None:
    """What each process does: the first one says how long a step took."""
    params = read_params(arguments.params)
    recipe = plain_recipe(params, WARM + arguments.steps + 1, arguments.views)  # the last would probe again
    world = read_map(Path(f"maps/{params['map_id']}/map.json"), ENGINE)
    cameras = read_dataset(Path(f"datasets/{params['map_id']}")).cameras
    with joined() as ranks:
        training = prepared(params, recipe, world, cameras, ranks)
        for _ in range(WARM):
            training.advance()
        marks = [_now()]
        for _ in range(arguments.steps):
            training.advance()
            marks.append(_now())
        if ranks.first:
            took = [1000 * (after - before) for before, after in pairwise(marks)]
            print(MARK + json.dumps(statistics.median(took)), flush=True)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measured(processes: int, views: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of a step with so many views, by so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "benchmarks.scaling", "--views", str(views)]
    command += ["--params", str(arguments.params), "--steps", str(arguments.steps), "--worker"]
    threads = str(max(1, len(os.sched_getaffinity(0)) // arguments.processes))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    ms = json.loads(line.removeprefix(MARK))
    figures = {"ms": round(ms, 2), "views_per_s": round(1000 * views / ms, 2)}
    return {"processes": processes, "views": views, "threads_each": int(threads), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--views", type=int, default=2, help="a step, for each process")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling.json"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        timed_steps(arguments)
        return
    count, views = arguments.processes, arguments.views
    cases = ((1, views), (1, count * views), (count, count * views))
    about = {"machine": machine(), "by": "NCCL" if torch.cuda.is_available() else "gloo, on the CPU"}
    alone, larger, shared = rows = [measured(*case, arguments) for case in cases]
    speedup = {
        "at equal views each": round(shared["views_per_s"] / alone["views_per_s"], 3),
        "at equal views a step": round(shared["views_per_s"] / larger["views_per_s"], 3),
    }
    guidance = read_params(arguments.params)["guidance"]
    write_json(arguments.out, {**about, "teacher": guidance, "rows": rows, "speedup": speedup})
    print(*rows, speedup, sep="\n")


if __name__ == "__main__":
    main()
