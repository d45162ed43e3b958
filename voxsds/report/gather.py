"""Sources of the report beside the validation: the log's curves, the test images, where all came from."""

import hashlib
import io
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

PACKAGES = ("torch", "numpy", "numba", "diffusers", "transformers", "dvc")
NAME = re.compile(r"step_(\d+)_view_(\d+)\.png")


def read_history(path: Path) -> pd.DataFrame:
    """A tab-separated log of numbers, a row a step; ValueError for anything else."""
    return parse_history(path.read_text(encoding="utf-8"), str(path))


def parse_history(text: str, where: str) -> pd.DataFrame:
    """The table in `text`, its first line the names; `where` goes into the message of a ValueError."""
    tabs = pd.Series(text.splitlines()).str.count("\t")
    # pandas fills up short lines, and takes the first column of long ones for their names.
    if wrong := np.flatnonzero(tabs != tabs[0]).tolist():
        raise ValueError(
            f"{where}: line {wrong[0] + 1} has not {tabs[0] + 1} columns; run the stage that wrote it again"
        )
    return pd.read_csv(io.StringIO(text), sep="\t", dtype=float)


def read_test_images(folder: Path) -> dict[int, Float[Tensor, "views 3 height width"]]:
    """The test images of a run, 0..1, by step and in the order of their views."""
    found: dict[int, dict[int, Tensor]] = {}
    for path in sorted(folder.glob("step_*_view_*.png")):
        if match := NAME.fullmatch(path.name):
            pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
            found.setdefault(int(match[1]), {})[int(match[2])] = torch.from_numpy(pixels).permute(2, 0, 1)
    if not found:
        raise ValueError(f"{folder}: no step_*_view_*.png; run the stage train again")
    return {step: torch.stack([views[i] for i in sorted(views)]) for step, views in sorted(found.items())}


def provenance(inputs: Sequence[Path]) -> dict[str, str]:
    """The machine, the versions, and what each input file or folder held (first 16 digits of SHA-256)."""
    machine = f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    facts = {"machine": machine, "Python": platform.python_version(), "packages": versions}
    return facts | {path.as_posix(): digest(path) for path in inputs}


def digest(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\0".encode())
    return whole.hexdigest()[:16]
