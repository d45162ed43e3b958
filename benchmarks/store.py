"""Results on disk: all figures in a .json, all worlds in an .npz beside it; kept as long as they are true."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figures
from benchmarks.figures import Blocks, Figures
from benchmarks.runs import Job, Outcome
from stages.recipe import read_recipe
from voxsds.files.disk import atomic_path, read_json, write_json
from voxsds.guidance.load import family
from voxsds.train.checkpoint import fingerprint, imported_sources


def identity(job: Job, device: str) -> str:
    """Changes with what a run's figures depend on: parameters, models, maps, the library's source."""
    model = read_recipe(job.params).teacher.model
    inputs = (
        *map(str, family(model).inputs(model)),
        job.params["validate"]["evaluator"],
        f"maps/{job.case.map}/map.json",
        f"datasets/{job.case.map}/metadata.json",
    )
    case = {**asdict(job.case), "kind": None}  # a label
    determining = {"params": job.params, "case": case, "colours": job.colours, "device": device}
    return fingerprint({**determining, "inputs": _contents(inputs)}, [])


@cache
def _contents(inputs: tuple[str, ...]) -> str:
    """A hash of the files and folders among `inputs`; those on the Hub are named by their commit."""
    return fingerprint({}, [*(p for p in map(Path, inputs) if p.exists()), *imported_sources("voxsds")])


@dataclass
class Store:
    """The runs of a recipe, the main one, and of those that it is compared with."""

    path: Path  # of the .json
    main: str  # name of the recipe
    overrides: dict[str, Any]  # that it makes in params.yaml
    device: str
    machine: dict[str, Any]
    runs: dict[str, Figures] = field(default_factory=dict)  # by "recipe: case"
    worlds: dict[str, Blocks] = field(default_factory=dict)

    @staticmethod
    def key(job: Job) -> str:
        return f"{job.recipe}: {job.case.name}"

    def load(self, jobs: Iterable[Job]) -> None:
        """Takes over what is on disk of these jobs and still true."""
        npz = self.path.with_suffix(".npz")
        if not self.path.is_file() or not npz.is_file():
            return
        stored = {f"{run['recipe']}: {run['name']}": run for run in read_json(self.path)["runs"]}
        with np.load(npz) as worlds:
            for key, job in ((self.key(job), job) for job in jobs):
                if key in stored and stored[key]["identity"] == identity(job, self.device):
                    self.runs[key] = stored[key]
                    if key in worlds:
                        self.worlds[key] = worlds[key]

    def add(self, job: Job, outcome: Outcome) -> Figures:
        """Takes a result in, and writes everything."""
        case = asdict(job.case)
        self.runs[self.key(job)] = record = {
            "recipe": job.recipe,
            "name": job.case.name,
            **case,
            **outcome.figures,
            "identity": identity(job, self.device),
        }
        if outcome.blocks is not None:
            self.worlds[self.key(job)] = outcome.blocks
        self.write()
        return record

    def write(self) -> None:
        """The worlds first, then the figures, which say what is there."""
        with atomic_path(self.path.with_suffix(".npz")) as path:
            packed: dict[str, Any] = {key: blocks.astype(np.uint8) for key, blocks in self.worlds.items()}
            np.savez_compressed(path, **packed)
        write_json(
            self.path,
            {
                "machine": self.machine,
                "recipe": {"name": self.main, "overrides": self.overrides},
                "summary": self.summary(),
                "runs": list(self.runs.values()),
            },
        )

    def summary(self) -> Figures:
        """Over the runs of the main recipe, with the baselines beside them; empty where there are none."""
        table = figures.run_table(self.runs.values())
        by_recipe = (
            {str(name): runs for name, runs in table.groupby("recipe", sort=False)} if self.runs else {}
        )
        main = by_recipe.pop(self.main, None)
        if main is None:
            return {}
        return {**figures.summary(main), "baselines": figures.baselines(main, by_recipe)}
