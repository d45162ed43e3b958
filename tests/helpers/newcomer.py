"""A checkout as a newcomer has it after `make run`; tests take a copy of it as the fixture `project`.

Teacher and evaluator have random weights and the run a few steps: this is about the path, not the result.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from tests.helpers.pipeline_clone import ROOT, clone, commit, environment, run
from tests.helpers.tiny_evaluator import save_tiny_evaluator
from tests.helpers.tiny_pipeline import save_tiny_pipeline

STEPS = 6
QUICK = {
    "teachers": {"tiny": {"ask": {"resolution": 32, "clamp": False}}},
    "train": {
        "steps": STEPS,
        "probe_every": 2,
        "image_every": 3,
        "checkpoint_every": 2,
        "occupancy_temperature": {"start": 1.0, "end": 1.0},  # so soft that a few steps can be seen
        "material_temperature": {"start": 2.0, "end": 2.0},
    },
    "validate": {
        "ring": {"views": 8},
        "image_size": 32,
        "pictured": 4,
        "picture_size": 64,
        "distractors": 9,
        "other_prompts": 3,
    },
}
WORDS = "a stone castle tower on snowy hills mountain"


def made_once(folder: Path) -> Path:
    """The checkout in `folder`, which the first process that asks makes while others wait."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as half:
                make_checkout(Path(half) / "voxsds").rename(folder)
    return folder


def make_checkout(folder: Path) -> Path:
    """A clone in which `make run` was typed, with the results committed."""
    clone(folder, QUICK, leave_out=["models"])
    save_tiny_pipeline(folder / "models" / "tiny")
    (folder / "models" / "tiny" / "words.txt").write_text(WORDS)
    save_tiny_evaluator(folder / "models" / "evaluator")
    install(folder)
    commit(folder, "clone")
    run(folder, "make", "run")
    commit(folder, "first run")
    return folder


def install(folder: Path) -> None:
    """A .venv as `make env` leaves it, whose commands are those of the Python that tests."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in (("python", ""), ("dvc", "-m dvc"), ("voxsds", "-m voxsds.cli.main")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text("export PATH=$PWD/.venv/bin:$PATH\n")
    (folder / ".venv" / ".installed").touch()


def type_in(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """What a shell in the checkout makes of a line, with .venv active."""
    env = environment(OMP_NUM_THREADS="1", HOME=str(folder.parent))
    env["PATH"] = os.pathsep.join([str(folder / ".venv" / "bin"), env["PATH"]])
    # In a shell that stays, as completion asks which one it is installed for.
    return subprocess.run(
        ["bash", "-c", f"{command}\nexit $?"], cwd=folder, env=env, capture_output=True, text=True
    )


def take_builds(folder: Path) -> None:
    """The builds of which docs/your-own-build.md speaks."""
    builds = ROOT / "tests" / "data" / "builds"
    shutil.copy(builds / "green-cottage.schem", folder / "castle.schem")
    shutil.copy(builds / "mansion.litematic", folder / "city.litematic")
