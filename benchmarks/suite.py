"""The suite: 24 prompts, 56 runs, and what they have to be compared with. Every run is reported.

    python -m benchmarks.suite                     two cores: some two hours
    python -m benchmarks.suite --workers 14        in several processes, on a GPU where there is one
    python -m benchmarks.suite --only tower,house --set train.steps=100 --out out_local/quick

writes into --out (benchmarks/results) suite.json with all figures, suite.npz with all worlds, both anew after
every run, and suite.png at the end. The same command again runs what is missing. A result counts as long as
the parameters, the models, the maps and the library's source are what they were.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import Case, Params, chosen, first_seeds, parsed_overrides, read_cases, with_overrides
from benchmarks.machine import machine
from benchmarks.pool import outcomes
from benchmarks.recipes import read_ablations
from benchmarks.runs import Job
from benchmarks.store import Store
from benchmarks.suite_sheet import suite_sheet
from voxsds.files.disk import write_image
from voxsds.files.params import read_params

OUT = Path("benchmarks/results")
MAIN, PLAN, FREE = "voxsds", "plan", "free_colours"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What both scripts that run the suite are told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="prompts with one of these parts in them, separated by commas")
    parser.add_argument("--maps", type=int, nargs="+", help="on these maps")
    parser.add_argument("--seeds", type=int, nargs="+", help="with these seeds")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def device_of(choice: str) -> str:
    """The device that `--device` means on this machine."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


def suite_jobs(params: Params, overrides: Params, cases: Sequence[Case], with_baselines: bool) -> list[Job]:
    """All cases under the recipe; each prompt and map once under those that it is compared with."""
    changed = with_overrides(params, overrides)
    jobs = [Job(MAIN, case, changed) for case in cases]
    if with_baselines:
        plan = with_overrides(params, read_ablations()["plan"].set)
        # Colours are no choice between materials: no entropy to lower, and no blocks to tidy.
        free = with_overrides(changed, {"train.penalties.entropy": 0.0, "train.tidy": 0.0})
        for case in first_seeds(cases):
            jobs += [Job(PLAN, case, plan), Job(FREE, case, free, colours="free")]
    return jobs


def work_through(
    jobs: Sequence[Job], cases: Sequence[Case], stores: Mapping[str, Store], workers: int
) -> None:
    """Runs those of the jobs that are about `cases` and that the store of their recipe lacks.

    Each result is on disk before the next is told; what a store has of other cases stays.
    """
    for recipe, store in stores.items():
        store.load(job for job in jobs if job.recipe == recipe)
    wanted = [job for job in jobs if job.case in cases]
    missing = [job for job in wanted if Store.key(job) not in stores[job.recipe].runs]
    print(f"{len(missing)} of {len(wanted)} runs to do", flush=True)
    device = next(iter(stores.values())).device
    for number, (job, outcome) in enumerate(outcomes(missing, workers, device), start=1):
        run = stores[job.recipe].add(job, outcome)
        print(f"{number}/{len(missing)}  {described(run)}", flush=True)


def described(run: dict[str, Any]) -> str:
    """A run in a line."""
    head = f"{run['recipe']}: {run['name']}: "
    if "failed" in run:
        return head + run["failed"]
    before, after = run["no_edit"]["r_precision"], run["r_precision"]
    return head + (
        f"R {before:.2f} → {after:.2f}, {run['soft_hard_psnr_db']:.1f} dB, "
        f"floating {run['floating']}, speckle {run['speckle']:.1%}, {run['seconds']:.0f} s"
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="in params.yaml")
    parser.add_argument("--without-baselines", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT, help="folder")
    args = parser.parse_args()
    if (overrides := parsed_overrides(args.set)) and args.out == OUT:
        raise ValueError(f"--set makes another recipe, whose results are not to replace {OUT}: give --out")
    cases = chosen(read_cases(), args.only, args.maps, args.seeds)
    jobs = suite_jobs(read_params("params.yaml"), overrides, read_cases(), not args.without_baselines)
    store = Store(args.out / "suite.json", MAIN, overrides, device_of(args.device), machine())
    work_through(jobs, cases, dict.fromkeys((MAIN, PLAN, FREE), store), args.workers)
    runs = [run for run in store.runs.values() if run["recipe"] == MAIN]
    write_image(args.out / "suite.png", suite_sheet(runs, store.worlds))
    for name, value in store.summary().items():
        if not isinstance(value, dict):
            print(f"{name}: {value}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"suite: {error}")
