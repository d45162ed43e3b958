"""The command line: what it prints, writes and refuses, its exit codes, and that it stays quick to ask."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from PIL import Image

from teacher.worlds.materials import ENGINE
from voxsds.cli import diagnosis as doctor
from voxsds.cli import main as cli
from voxsds.cli.builds import room_wanted
from voxsds.world.maps import read_map

ROOT = Path(__file__).parents[2]
COTTAGE = ROOT / "tests" / "data" / "builds" / "green-cottage.schem"
COMMANDS = ("import", "export", "cameras", "render", "watch", "words", "doctor")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the parameters, one map and the teacher of this one."""
    for name in ("params.yaml", "maps/1/map.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "models").symlink_to(ROOT / "models")
    shutil.copy(COTTAGE, tmp_path / "castle.schem")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Done:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def voxsds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs a command in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["voxsds", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
            sys.exit(0)
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, voxsds) -> None:
    done = voxsds(command, "--help")
    assert done.code == 0
    assert f"voxsds {command}" in done.out.partition("Examples:")[2]


def test_the_list_of_commands_cuts_no_sentence_short(voxsds) -> None:
    listed = voxsds("--help").out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from voxsds.cli import main; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("arguments", [
    ["import", "castle.schem", "--map", "3"], ["export", "--map", "1", "hill.litematic"],
    ["export", "--map", "1", "hill.glb"],
])  # fmt: skip
def test_bringing_builds_in_and_out_does_not_wait_for_torch(arguments: list[str], checkout: Path) -> None:
    code = (
        "import sys; from voxsds.cli.main import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=checkout, env=environment, check=True)


def test_completion_is_there(voxsds) -> None:
    assert "--install-completion" in voxsds("--help").out


@pytest.mark.parametrize("arguments", [
    ["fly"], ["import", "castle.schem"], ["import", "castle.schem", "--map", "3", "--crop", "1,2"],
    ["cameras", "--map", "1", "--orbit", "many"], ["render", "--map", "1"],
    ["words", "--teacher", "none", "a"],
])  # fmt: skip
def test_wrong_usage_ends_with_2(arguments: list[str], checkout: Path, voxsds) -> None:
    done = voxsds(*arguments)
    assert done.code == 2 and done.out == "" and "Usage: voxsds" in done.err


@pytest.mark.parametrize(("arguments", "message"), [
    (["import", "nowhere.schem", "--map", "3"], "nowhere.schem"),
    (["import", "castle.schem", "--map", "1"], "maps/1/map.json is there already"),
    (["import", "castle.schem", "--map", "../3"], "an id has letters, digits"),
    (["export", "--map", "7", "a.schem"], "there is no such map, there are 1; bring one with: voxsds import"),
    (["export", "--map", "1", "--optimized", "a.schem"], "make one with: dvc exp run -S map_id=1"),
    (["export", "--map", "1", "a.obj"], "worlds are written as"),
    (["render", "--map", "1", "a.jpg"], "pictures are written as .png"),
    (["cameras", "--map", "1", "--orbit", "4"], "multiple of 3"),
    (["words", "--teacher", "sdxl", "a"], "voxsds doctor --teacher sdxl"),
    (["words", "..."], "has no words"),
])  # fmt: skip
def test_what_cannot_be_done_ends_with_1_and_says_why(
    arguments: list[str], message: str, checkout: Path, voxsds
) -> None:
    before = sorted(checkout.rglob("*.json"))
    done = voxsds(*arguments)
    assert done.code == 1 and done.err.startswith("voxsds: ") and message in done.err
    assert "Traceback" not in done.err and sorted(checkout.rglob("*.json")) == before


def test_outside_a_checkout_nothing_is_written(tmp_path: Path, monkeypatch, voxsds) -> None:
    monkeypatch.chdir(tmp_path)
    done = voxsds("import", str(COTTAGE), "--map", "3")
    assert done.code == 1 and "run from the repository's root" in done.err
    assert not list(tmp_path.iterdir())


def test_import_says_what_became_of_every_block(checkout: Path, voxsds) -> None:
    done = voxsds("import", "castle.schem", "--map", "3")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["green_concrete", "233", "Grass", "colour"] in rows and ["lantern", "4", "Air", "table"] in rows
    assert "left out: 1 block entities" in done.out and "voxsds cameras --map 3" in done.out
    assert (read_map(checkout / "maps/3/map.json", ENGINE).blocks > 0).sum() == 615


def test_import_for_programs_crops_pads_and_counts(checkout: Path, voxsds) -> None:
    done = voxsds("import", "castle.schem", "--map", "3", "--crop", "0,0,0,8,8,8", "--pad", "2", "--json")
    said = json.loads(done.out)
    assert said["dimensions"] == [12, 10, 12] and said["map"] == "maps/3/map.json"
    assert sum(row["count"] for row in said["became"]) == 8**3
    assert said["blocks"] == sum(row["count"] for row in said["became"] if row["became"] != "Air")


def test_a_build_higher_than_wide_is_warned_of_with_the_room_it_wants(checkout: Path, voxsds) -> None:
    done = voxsds("import", "castle.schem", "--map", "3", "--crop", "0,0,0,6,12,6", "--pad", "1")
    assert "--pad 6 --force gives it room" in done.err  # 8 x 13 x 8 wants 5 more
    assert (
        voxsds("import", "castle.schem", "--map", "3", "--crop", "0,0,0,6,12,6", "--pad", "6", "--force").err
        == ""
    )
    assert room_wanted((10, 24, 8)) == 14 and room_wanted((24, 24, 8)) == 0


def test_unknown_blocks_are_warned_of_and_can_be_told(checkout: Path, voxsds) -> None:
    (checkout / "own.yaml").write_text("write: {Stone: 'mod:granite'}\n")
    assert voxsds("export", "--map", "1", "a.schem", "--blocks", "own.yaml").code == 0
    assert "of kinds that nothing is known of" not in voxsds("import", "a.schem", "--map", "2").err
    (checkout / "odd.yaml").write_text("write: {Stone: 'mod:thing'}\n")
    voxsds("export", "--map", "1", "b.schem", "--blocks", "odd.yaml")
    assert (
        "of kinds that nothing is known of; say what they are with --blocks"
        in voxsds("import", "b.schem", "--map", "4").err
    )


def test_export_names_its_files(checkout: Path, voxsds) -> None:
    done = voxsds("export", "--map", "1", "out/hill.litematic", "--json")
    said = json.loads(done.out)
    assert said["files"] == ["out/hill.litematic"] and (checkout / "out/hill.litematic").stat().st_size > 0
    assert {row["became"] for row in said["became"]} >= {"minecraft:air", "minecraft:dirt"}


@pytest.mark.parametrize("command", [("export", "castle.schem"), ("render", "hill.png", "--size", "16")])
def test_no_command_replaces_a_file_unasked(command: tuple[str, ...], checkout: Path, voxsds) -> None:
    """castle.schem is the file that was imported."""
    file = checkout / command[1]
    file.write_bytes(b"theirs")
    done = voxsds(*command, "--map", "1")
    assert done.code == 1 and f"{command[1]} is there already" in done.err and "--force" in done.err
    assert file.read_bytes() == b"theirs"
    assert voxsds(*command, "--map", "1", "--force").code == 0 and file.read_bytes() != b"theirs"


def test_cameras_are_written_and_not_replaced_unasked(checkout: Path, voxsds) -> None:
    command = ["cameras", "--map", "1", "--orbit", "3", "--walk", "1", "--size", "32"]
    done = voxsds(*command)
    assert done.code == 0 and "dvc exp run -S map_id=1" in done.out
    assert len(list((checkout / "datasets/1/images").glob("*.png"))) == 4
    assert voxsds(*command).code == 1
    assert json.loads(voxsds(*command, "--force", "--json").out) == {
        "dataset": "datasets/1",
        "orbit": 3,
        "walk": 1,
    }


@pytest.mark.parametrize(("name", "frames", "seconds"), [("hill.png", 1, None), ("hill.gif", 3, 1.5)])
def test_render_says_what_it_drew(
    name: str, frames: int, seconds: float | None, checkout: Path, voxsds
) -> None:
    command = ["render", "--map", "1", name, "--size", "24", "--frames", "3", "--seconds", "1.5"]
    said = json.loads(voxsds(*command, "--json").out)
    with Image.open(checkout / said["file"]) as image:
        assert image.size == (said["size"], said["size"]) == (24, 24)
        assert said["frames"] == getattr(image, "n_frames", 1) == frames
    assert said["seconds"] == seconds
    assert voxsds(*command, "--force").out == f"{name}\n"


def test_words_that_the_teacher_knows(checkout: Path, voxsds) -> None:
    done = voxsds("words", "a stone zeppelin")
    assert "known: 67%" in done.out and "not known: zeppelin" in done.out
    assert json.loads(voxsds("words", "zeppelin armada", "--json").out) == {
        "prompt": "zeppelin armada", "share": 0.0, "unknown": ["zeppelin", "armada"],
    }  # fmt: skip
    assert {"stone", "tower"} <= set(voxsds("words").out.split())


def test_doctor_finds_the_shipped_teacher_ready(checkout: Path, voxsds) -> None:
    said = json.loads(voxsds("doctor", "--json").out)
    tiny = next(teacher for teacher in said["teachers"] if teacher["name"] == "tiny")
    assert tiny["chosen"] and all(source["problem"] is None for source in tiny["needs"]["sources"])
    assert 20e6 < tiny["needs"]["weights"] < 500e6
    assert {b["name"] for b in said["backends"]} >= {"reference", "numba"}
    assert all(
        b["problem"] is None and b["milliseconds"] > 0 for b in said["backends"] if b["name"] == "numba"
    )
    assert not any("teacher" in problem or "renderer" in problem for problem in said["problems"])


def test_doctors_tables_stay_narrow_and_reasons_stand_below(checkout: Path, voxsds) -> None:
    lines = voxsds("doctor").out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("renderer"))
    names = [line.split()[0] for line in lines[at + 1 : at + 5]]
    assert names == ["reference", "numba", "triton", "nvdiffrast"]
    assert all(len(line) < 60 for line in lines[at : at + 5])
    for name, line in zip(names, lines[at + 1 : at + 5], strict=True):
        assert ("does not work" in line) == any(below.startswith(f"  {name}: ") for below in lines)


def test_doctor_fails_where_the_chosen_teacher_cannot_run(checkout: Path, voxsds) -> None:
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    params["teachers"]["tiny"]["model"]["folder"] = "models/nowhere"
    tiny = params["teachers"]["tiny"]
    params["teachers"]["typo"] = {**tiny, "model": {**tiny["model"], "dtype": "float23"}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    done = voxsds("doctor")
    assert done.code == 1
    assert "- teacher tiny: models/nowhere: models/nowhere: no such file or folder" in done.out
    assert "typo.model.dtype is 'float23'; choose one of" in done.out
    assert voxsds("doctor", "--teacher", "typo").code == 1


def drawing_everything(*_, **__) -> SimpleNamespace:
    return SimpleNamespace(rgba=torch.ones(1, 4, 64, 64))


@pytest.mark.parametrize(("broken", "says"), [
    (lambda *_, **__: 1 / 0, "ZeroDivisionError"), (drawing_everything, "draws blocks where there are none"),
])  # fmt: skip
def test_doctor_tries_the_renderers(broken, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = doctor.try_backend("numba", torch.device("cpu"))
    assert sound.problem is None and sound.milliseconds is not None
    monkeypatch.setattr(doctor, "render", broken)
    found = doctor.diagnose({}, "tiny")
    assert all(backend.problem and says in backend.problem for backend in found.backends)
    assert any("renderer" in problem for problem in found.problems)


def test_doctor_compares_packages_with_their_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda _: ["torch==1.2.3", "nosuch==4", 'x==1; extra == "dev"']
    )
    torch_, nosuch = doctor.packages()
    assert torch_.found is not None and not torch_.ok
    assert nosuch.found is None and not nosuch.ok
    assert doctor.Package("torch", "2.13.0", "2.13.0+cpu").ok
