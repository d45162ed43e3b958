"""A copy of the project in a Git repository of its own, in which the real commands can be run.

python -m tests.helpers.pipeline_clone --steps 40      a short run of the pipeline, with its headline
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = ("voxsds", "stages", "benchmarks", "teacher", "tests", "maps", "datasets", "models", ".dvc")
FILES = (
    "Makefile",
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    "pyproject.toml",
    "requirements.txt",
)


def clone(folder: Path, overlay: Mapping[str, Any], leave_out: Sequence[str] = ()) -> Path:
    """The project as it lies here, uncommitted changes included, with `overlay` merged into its parameters.

    Nothing that DVC made is taken along. `leave_out` names folders that the caller provides.
    """
    for name in _project_files():
        wanted = name in FILES or (name.split("/")[0] in CODE and not name.endswith("map_optimized.json"))
        if wanted and not any(name.startswith(left + "/") for left in leave_out) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _take_compiled_kernels(folder)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(params, overlay), sort_keys=False))
    return folder


def _project_files() -> list[str]:
    """Tracked files, and untracked ones that are not ignored."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    return subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")


def _take_compiled_kernels(folder: Path) -> None:
    """Numba's cache lies beside the source and stays valid as long as the source keeps its date."""
    for path in ROOT.glob("voxsds/**/__pycache__/*.nb[ic]"):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def merged(params: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with the values of `overlay` in place of its own, section by section."""
    result = dict(params)
    for key, value in overlay.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def environment(**extra: str) -> dict[str, str]:
    """That of a newcomer with this Python active: no Git identity but a made-up one, no telemetry."""
    identity = {f"GIT_{who}_{what}": "ci" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if name not in ("VOXSDS_CKPT_DIR", "DVC_ROOT")}
    own = {"PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1", "CI": "1"}
    return {**kept, **identity, **own, **extra}


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command there; on an unexpected exit AssertionError with all that it said.

    In one thread: what tests run is so small that threads only wait for each other.
    """
    env = environment(OMP_NUM_THREADS="1")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    said = f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0 or not check, said
    return done


def commit(folder: Path, message: str) -> None:
    """Commits all there is; the first time makes the repository."""
    if not (folder / ".git").exists():
        run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, required=True)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder), {"train": {"steps": steps, "image_every": max(1, steps // 2)}})
        commit(project, "clone")
        for command in (["dvc", "repro"], ["python", "-m", "voxsds.cli.headline", "out_local/report"]):
            subprocess.run(command, cwd=project, env=environment(), check=True)


if __name__ == "__main__":
    main()
