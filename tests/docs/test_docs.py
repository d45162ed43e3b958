"""Every command of README and docs, in the order of the pages, in a newcomer's checkout; and what pages say.

A command that stands on several pages is run once. What cannot be run is parsed, see `INSTEAD`.
"""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from runpy import run_module

import pytest

from teacher.worlds.materials import ENGINE
from tests.helpers.newcomer import take_builds, type_in
from tests.helpers.pages import (
    INSTEAD,
    PAGES,
    ROOT,
    commands,
    fenced,
    is_said,
    messages,
    read,
    scripts,
    stand_in,
)
from tests.helpers.pipeline_clone import run
from voxsds.formats.exchange import import_world
from voxsds.formats.mapping import read_mapping
from voxsds.world.maps import read_map

OWN_BUILD = "docs/your-own-build.md"
MADE = (
    "tower.png tower.gif out_local/report/index.html datasets/5/metadata.json before.png after.webp "
    "castle-new.schem castle-new.nbt castle-new.glb castle-spruce.litematic"
).split()


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What each command printed, as they are run."""
    return {}


@pytest.fixture(scope="module")
def checkout(project: Path) -> Path:
    take_builds(project)
    (yaml,) = fenced(OWN_BUILD, "yaml")
    (project / "my-blocks.yaml").write_text(yaml)
    return project


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, checkout: Path, said: dict[str, str]) -> None:
    for command in commands(page):
        typed = stand_in(command)
        if command in said:
            continue
        if typed is None:
            subprocess.run(["bash", "-n", "-c", command], check=True)
            continue
        done = type_in(checkout, typed)
        said[command] = done.stdout
        # Neither an installation's pins nor its packages are those of every machine that tests.
        doctor = typed.startswith("voxsds doctor") and done.returncode == 1 and "\nto do:\n" in done.stdout
        assert done.returncode == 0 or doctor, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_an_experiment_runs_what_its_parameters_change_and_can_be_compared(
    checkout: Path, said: dict[str, str]
) -> None:
    slower = said["dvc exp run --name slower -S lr=0.02"]
    assert "Running stage 'train'" in slower
    assert "Running stage 'gradcheck'" not in slower and "Running stage 'init_grid'" not in slower
    compared = ["--json", "main", "slower"]
    params = json.loads(run(checkout, "dvc", "params", "diff", *compared).stdout)
    lr = params["params.yaml"]["lr"]
    assert (lr["old"], lr["new"]) == (0.03, 0.02)
    metrics = json.loads(run(checkout, "dvc", "metrics", "diff", *compared).stdout)
    assert "quality.probe_margin.end" in metrics["out_local/report/metrics.json"]
    (line,) = (line for line in said["make experiments"].splitlines() if line.split()[:1] == ["slower"])
    assert " 0.02 " in line
    assert run(checkout, "git", "log", "--format=%s").stdout.split("\n")[0] == "first run"


@pytest.mark.slow
def test_plots_of_two_experiments_stand_side_by_side(checkout: Path, said: dict[str, str]) -> None:
    assert "dvc_plots/index.html" in said["dvc plots diff HEAD slower"]
    html = (checkout / "dvc_plots" / "index.html").read_text()
    assert "probe_margin" in html and "occupancy_grad_norm" in html and "cdn.jsdelivr" not in html
    pictures = {p.name for p in (checkout / "dvc_plots").rglob("*.png")}
    for revision in ("HEAD", "slower"):
        for name in ("before_after", "test_images_view_0"):
            assert any(name in picture and revision in picture for picture in pictures), sorted(pictures)


@pytest.mark.slow
def test_a_build_becomes_what_the_page_says(checkout: Path, said: dict[str, str]) -> None:
    table = said["voxsds import castle.schem --map 3"]
    for line in re.findall(r"^    (\w+ +[\d,]+ .*)$", read(OWN_BUILD), flags=re.MULTILINE):
        assert line.split() in [row.split() for row in table.splitlines()], line
    assert "known: 100%" in said['voxsds words "a stone castle on snowy hills"']
    for file in MADE:
        assert (checkout / file).stat().st_size > 0, file
    before, padded = (read_map(checkout / f"maps/{id}/map.json", ENGINE).blocks for id in (3, 5))
    exported = import_world(checkout / "castle-new.schem", read_mapping(ENGINE))
    assert exported.world.blocks.shape == before.shape
    assert padded.shape == tuple(side + more for side, more in zip(before.shape, (12, 6, 12), strict=True))
    assert read_map(checkout / "maps/city/map.json", ENGINE).blocks.shape == (16, 12, 16)
    assert len(list((checkout / "datasets/3/images").iterdir())) == 24 + 8
    assert len(list((checkout / "datasets/5/images").iterdir())) == 24


@pytest.mark.parametrize(("module", "flags"), scripts())
def test_a_script_that_is_not_run_has_the_flags_of_the_page(
    module: str, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit) as ended:
        run_module(module, run_name="__main__")
    assert ended.value.code == 0
    assert set(flags) <= set(re.findall(r"--[\w-]+", capsys.readouterr().out))


def test_every_exception_from_running_is_needed() -> None:
    shown = [command for page in PAGES for command in commands(page)]
    for pattern, _, why in INSTEAD:
        assert any(re.fullmatch(pattern, command) for command in shown), f"no page shows {pattern} ({why})"


def test_the_pages_show_every_command_of_voxsds() -> None:
    typed = [shlex.split(command) for page in PAGES for command in commands(page)]
    shown = {words[1] for words in typed if words[0] == "voxsds"}
    assert shown == {
        "import", "export", "cameras", "render", "watch", "words", "doctor", "--install-completion"
    }  # fmt: skip


def test_an_installation_has_the_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["voxsds"].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if not target.startswith("https://"):
            path, _, section = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), f"{page}: {target}"
            assert not section or section in anchors(file.read_text()), f"{page}: {target}"


def anchors(text: str) -> set[str]:
    """The sections of a page as GitHub names them in links."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_files_and_names_of_the_code_that_a_page_speaks_of_are_there(page: str) -> None:
    for file, name in re.findall(
        r"`((?:voxsds|stages|teacher|benchmarks|tests)/[\w/]+\.py)(?:: (\w+))?`", read(page)
    ):
        assert (ROOT / file).is_file(), f"{page}: {file}"
        assert not name or name in defined(ROOT / file), f"{page}: {file}: {name}"


def defined(file: Path) -> set[str]:
    """The functions, classes, methods and fields of a module."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = list(ast.walk(ast.parse(file.read_text())))
    targets = (t for n in nodes if isinstance(n, ast.Assign) for t in n.targets)
    return {node.name for node in nodes if isinstance(node, kinds)} | {
        target.id for target in targets if isinstance(target, ast.Name)
    }


def test_messages_under_troubleshooting_are_those_of_the_code() -> None:
    tables = re.findall(
        r"^\| message \|.*\n\|-.*\n((?:\|.*\n)+)", read("docs/troubleshooting.md"), flags=re.MULTILINE
    )
    quoted = [cell for table in tables for cell in re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)]
    assert len(quoted) > 20
    assert [message for message in quoted if not is_said(message)] == []
    assert not is_said("the world is full") and is_said("the world is …") and messages()
