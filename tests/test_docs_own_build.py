"""Every command of docs/your-own-build.md, in its order, in a clone, from a build to a report and back.

Teacher and evaluator have random weights and the run a few steps: this is about the path, not the result.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.helpers.pipeline_clone import ROOT, clone, commit, environment
from tests.helpers.tiny_evaluator import save_tiny_evaluator
from tests.helpers.tiny_pipeline import save_tiny_pipeline
from voxsds.maps import read_map

PAGE = (ROOT / "docs" / "your-own-build.md").read_text()
BUILDS = ROOT / "tests" / "data" / "builds"
QUICK = {
    "teachers": {"tiny": {"resolution": 32, "clamp": False}},
    "train": {"steps": 4, "probe_every": 2, "image_every": 2, "checkpoint_every": 2},
    "validate": {"ring": {"views": 8}, "image_size": 32, "pictured": 4, "picture_size": 64, "distractors": 9,
                 "other_prompts": 3},
}  # fmt: skip
MADE = (
    "out_local/report/index.html datasets/5/metadata.json before.png after.webp "
    "castle-new.schem castle-new.nbt castle-new.glb castle-spruce.litematic"
).split()


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in fenced("bash") for line in block.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the builds that the page speaks of, and `voxsds` as an installation would give it."""
    folder = clone(tmp_path_factory.mktemp("own") / "project", QUICK, leave_out=["models"])
    save_tiny_pipeline(folder / "models" / "tiny")
    (folder / "models" / "tiny" / "words.txt").write_text("a stone castle on snowy hills")
    save_tiny_evaluator(folder / "models" / "evaluator")
    commit(folder, "clone")
    shutil.copy(BUILDS / "green-cottage.schem", folder / "castle.schem")
    shutil.copy(BUILDS / "mansion.litematic", folder / "city.litematic")
    (yaml,) = fenced("yaml")
    (folder / "my-blocks.yaml").write_text(yaml)
    command = folder.parent / "bin" / "voxsds"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m voxsds.cli.main "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_command_of_the_page_does_what_it_says(project: Path) -> None:
    env = environment(OMP_NUM_THREADS="1", PYTHONPATH=str(project), HOME=str(project.parent))
    env["PATH"] = os.pathsep.join([str(project.parent / "bin"), env["PATH"]])
    said = {}
    for command in COMMANDS:
        # In a shell that stays, as completion asks which one it is installed for.
        shell = ["bash", "-c", f"{command}; exit $?"]
        done = subprocess.run(shell, cwd=project, env=env, capture_output=True, text=True)
        said[command] = done.stdout
        # An installation's pins are not those of every machine that tests; all else has to be well.
        doctor = command == "voxsds doctor" and "teacher tiny" not in done.stdout
        assert done.returncode == 0 or doctor, f"{command}\n{done.stdout}\n{done.stderr}"
    check_results(project, said)


def check_results(project: Path, said: dict[str, str]) -> None:
    table = said["voxsds import castle.schem --map 3"]
    for line in (line.strip() for line in PAGE.splitlines() if re.match(r"    \w+ +[\d,]+ ", line)):
        assert line.split() in [row.split() for row in table.splitlines()], line
    assert "known: 100%" in said['voxsds words "a stone castle on snowy hills"']
    for file in MADE:
        assert (project / file).stat().st_size > 0, file
    before, padded = (read_map(project / f"maps/{id}/map.json").blocks for id in (3, 5))
    assert read_map(project / "maps/3/map_optimized.json").blocks.shape == before.shape
    assert padded.shape == tuple(side + more for side, more in zip(before.shape, (12, 6, 12), strict=True))
    assert read_map(project / "maps/city/map.json").blocks.shape == (16, 12, 16)
    assert len(list((project / "datasets/3/images").iterdir())) == 24 + 8
    assert len(list((project / "datasets/5/images").iterdir())) == 24


def test_the_page_shows_every_command_and_no_other() -> None:
    shown = {shlex.split(command)[1] for command in COMMANDS if command.startswith("voxsds ")}
    assert shown == {"import", "export", "cameras", "render", "words", "doctor", "--install-completion"}


def test_an_installation_has_the_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["voxsds"].partition(":")
    assert callable(getattr(import_module(module), function))
