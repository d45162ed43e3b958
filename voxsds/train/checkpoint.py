"""Runs that survive being killed: their state is kept outside the outputs, which DVC deletes.

A run's state lives in a folder named by a fingerprint of all that determines its result, so a changed
parameter, input or source file never resumes the wrong run. DVC_ROOT is the original checkout even in
DVC's temporary workspaces, so an experiment that was killed there finds its state again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import torch

from voxsds.files.disk import atomic_path
from voxsds.files.outputs import Outputs


class AlreadyTraining(Exception):
    """Another process trains with the same files."""


def checkpoint_root() -> Path:
    """The folder in which the states of all runs are kept."""
    if folder := os.environ.get("VOXSDS_CKPT_DIR"):
        return Path(folder)
    return Path(os.environ.get("DVC_ROOT", ".")) / Outputs().checkpoints


def fingerprint(params: dict[str, Any], inputs: Iterable[Path]) -> str:
    """16 hex digits of the parameters (JSON values) and of all bytes of the inputs, files or folders."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for path in inputs:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"\0{file.relative_to(path.parent)}\0{content}".encode())
    return digest.hexdigest()[:16]


def imported_sources(package: str) -> list[Path]:
    """The source files of `package` that this process has imported, by module name."""
    names = sorted(name for name in sys.modules if name == package or name.startswith(package + "."))
    files = (getattr(sys.modules[name], "__file__", None) for name in names)
    return [Path(file) for file in files if file]


def hold(path: Path) -> IO[str]:
    """An exclusive lock on `path` until the returned file is closed or the process ends.

    AlreadyTraining where another process has it. The file names the holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")  # noqa: SIM115 (the caller keeps it open: closing it frees the lock)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyTraining(
            f"another training run (process {holder}) holds {path}: two cannot write the same files. "
            "Wait for it, or stop it if a killed `dvc repro` left it behind."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


class Signals:
    """Context in which SIGINT and SIGTERM do not end the process; `caught` is the number of the last one."""

    caught = 0  # none

    def __enter__(self) -> "Signals":
        self._previous = {s: signal.signal(s, self._catch) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _frame: object) -> None:
        self.caught = number


class Checkpoint:
    """The kept state of one run. As a context it holds the run's lock and catches SIGINT and SIGTERM."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "state.pt"
        self.signals = Signals()

    def __enter__(self) -> "Checkpoint":
        self._lock = hold(self.folder.with_suffix(".lock"))
        self.signals.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.signals.__exit__(*exception)
        self._lock.close()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, its tensors on the CPU; None for a fresh start."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{self.path}: cannot be read ({error}); delete {self.folder}") from error

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state, all or nothing even if the machine dies."""
        with atomic_path(self.path) as path:
            torch.save(state, path)

    def leave(self, step: int, number: int) -> None:
        """Ends the process after a signal as shells count it, 130 or 143: to DVC, 0 would mean done."""
        name = signal.Signals(number).name
        print(
            f"{name}: stopped after {step} steps; the same command resumes from {self.folder}",
            file=sys.stderr,
        )
        sys.exit(128 + number)

    def remove(self) -> None:
        """Forgets the run: it is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)
