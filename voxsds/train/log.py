"""Logs and test images of a run, which it leaves behind for people. The only writer of both.

    logs/train.jsonl            one object per step
    logs/gradient_stats.jsonl   the same steps' gradients alone
    logs/train.tsv              the curves, for `dvc plots`, which reads no JSON lines
    logs/run.json               what was asked for: prompt, steps
    logs/metrics.json           figures of the whole run, at its end
    logs/worlds/step_0050.npz   the grid as plain blocks after 50 steps, before the clean-up of the export
    test_imgs/step_0050_view_0.png   the first dataset views after 50 steps, drawn soft

A resumed run writes all of it anew from the rows in its checkpoint and never appends to old files.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.files.disk import write_bytes, write_image, write_json
from voxsds.train.training import StepRecord
from voxsds.world.snapshots import Blocks, packed

Row = dict[str, Any]

COLUMNS: dict[str, Callable[[Row], float]] = {
    "step": lambda row: row["step"],
    "loss": lambda row: row["losses"]["total"],
    "sds": lambda row: row["losses"]["sds"],
    "sparsity": lambda row: row["losses"]["sparsity"],
    "entropy": lambda row: row["losses"]["entropy"],
    "residual": lambda row: row["residual"],
    "probe_eps": lambda row: row["probe"]["eps"],
    "probe_margin": lambda row: row["probe"]["margin"],
    "occupancy_grad_norm": lambda row: row["gradient_stats"]["occupancy_grad_norm"],
    "material_grad_norm": lambda row: row["gradient_stats"]["material_grad_norm"],
    "grad_health_score": lambda row: row["gradient_stats"]["grad_health_score"],
    "num_active_voxels": lambda row: row["grid_stats"]["num_active_voxels"],
    "occupancy_mean": lambda row: row["grid_stats"]["occupancy_mean"],
    "temperature": lambda row: row["temperature"],
    "occupancy_temperature": lambda row: row["occupancy_temperature"],
    "lr": lambda row: row["lr"],
}


class RunLog:
    """Logs and test images of one run, under `folder`; what was there before is removed."""

    def __init__(self, folder: Path, about: Mapping[str, Any]):
        self.folder, self.logs = folder, folder / "logs"
        for made in (self.logs, folder / "test_imgs"):
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
        write_json(self.logs / "run.json", dict(about))
        self._rows: list[Row] = []
        self._moments: dict[str, bytes] = {}  # files about single steps, by their paths under `folder`
        self._seconds = 0.0  # spent before this process took the run up
        self._start = time.monotonic()
        self._probe: dict[str, float] | None = None
        self._train = open(self.logs / "train.jsonl", "w")
        self._gradients = open(self.logs / "gradient_stats.jsonl", "w")
        self._curves = open(self.logs / "train.tsv", "w")
        print(*COLUMNS, sep="\t", file=self._curves, flush=True)

    @property
    def seconds(self) -> float:
        """Time spent on the run so far, by all the processes that had it."""
        return self._seconds + time.monotonic() - self._start

    def add(self, record: StepRecord) -> None:
        """Logs one step."""
        row = asdict(record)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write({"step": row.pop("step"), "timestamp": now, **row})

    def _write(self, row: Row) -> None:
        self._rows.append(row)
        print(json.dumps(row, allow_nan=False), file=self._train, flush=True)
        gradients = {"step": row["step"], **row["gradient_stats"]}
        print(json.dumps(gradients, allow_nan=False), file=self._gradients, flush=True)
        self._probe = row["probe"] or self._probe  # a curve: between two probes it stays where it is
        curves = [column({**row, "probe": self._probe}) for column in COLUMNS.values()]
        print(*curves, sep="\t", file=self._curves, flush=True)

    def moment(self, step: int, images: Float[Tensor, "views 3 height width"], blocks: Blocks) -> None:
        """Keeps what the grid looks like after `step` steps: the test images, and its blocks."""
        for view, image in enumerate(images):
            name = f"test_imgs/step_{step:04d}_view_{view}.png"
            write_image(self.folder / name, image.permute(1, 2, 0).cpu().numpy())
            self._moments[name] = (self.folder / name).read_bytes()
        name = f"logs/worlds/step_{step:04d}.npz"
        self._moments[name] = packed(blocks)
        write_bytes(self.folder / name, self._moments[name])

    def finish(self, steps_asked: int, parts: Mapping[str, float]) -> None:
        """Writes the figures of the run; `parts` are milliseconds of the parts of a step."""
        probes = [row["probe"]["margin"] for row in self._rows if row["probe"]]
        last, seconds = self._rows[-1], self.seconds
        figures = {
            "loss": last["losses"],
            "residual": last["residual"],
            "probe_margin": {"start": probes[0], "end": probes[-1]},
            "num_active_voxels": last["grid_stats"]["num_active_voxels"],
            "run": {
                "steps": len(self._rows),
                "steps_asked": steps_asked,
                "seconds": round(seconds, 3),
                "ms_per_step": round(1000 * seconds / len(self._rows), 2),
                "peak_memory_mb": _peak_memory_mb(),
                "parts_ms": {name: round(ms, 3) for name, ms in parts.items()},
            },
        }
        write_json(self.logs / "metrics.json", figures)
        for file in (self._train, self._gradients, self._curves):
            file.close()

    def state_dict(self) -> dict[str, Any]:
        """State from which `load_state_dict` writes the same files again."""
        return {"rows": self._rows, "moments": self._moments, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Writes what the interrupted run had written up to its checkpoint."""
        for row in state["rows"]:
            self._write(row)
        self._moments = state["moments"]
        for name, content in self._moments.items():
            write_bytes(self.folder / name, content)
        self._seconds, self._start = state["seconds"], time.monotonic()


def memory_mb() -> float:
    """Memory that this process has now, and the GPU's where there is one."""
    now = psutil.Process().memory_info().rss
    if torch.cuda.is_available():
        now += torch.cuda.memory_allocated()
    return now / 2**20


def _peak_memory_mb() -> float:
    """Most memory that this process has had, and the GPU's where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        peak += torch.cuda.max_memory_allocated()
    return round(peak / 2**20, 1)
