"""A run that is killed and started again is the run that was never killed, byte for byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stages import init_grid
from tests.helpers.workspace import ROOT, make_workspace, params
from voxsds.files.params import read_params
from voxsds.train.checkpoint import (
    AlreadyTraining,
    Checkpoint,
    checkpoint_root,
    fingerprint,
    hold,
    imported_sources,
)

STEPS = 60


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["init_grid"])
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("VOXSDS_CKPT_DIR", raising=False)
    values = params(steps=STEPS, probe_every=20, image_every=20, checkpoint_every=9)
    make_workspace(tmp_path, values)
    for package in ("voxsds", "stages"):  # a copy: the fingerprint must not change with an edit meanwhile
        shutil.copytree(ROOT / package, tmp_path / package)
    init_grid.main(read_params("params.yaml"))
    return tmp_path


def trainer(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "stages.train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads of so small a run only wait for each other
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def interrupted(folder: Path, number: int, steps: int) -> tuple[int, str]:
    """Runs the trainer until it has logged `steps` steps, then sends the signal."""
    process = trainer(folder)
    log = folder / "out_local/logs/train.jsonl"
    log.unlink(missing_ok=True)
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= steps):
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate()
    return process.returncode, errors


def results(folder: Path) -> dict[str, object]:
    """All that a run leaves behind, without the times at which it happened."""
    out = folder / "out_local"
    folders = ("model", "test_imgs", "logs/worlds")
    files = [p for name in folders for p in sorted((out / name).iterdir())]
    found: dict[str, object] = {str(p.relative_to(out)): p.read_bytes() for p in files}
    rows = [json.loads(line) for line in (out / "logs/train.jsonl").read_text().splitlines()]
    assert all(row.pop("timestamp") for row in rows)
    metrics = json.loads((out / "logs/metrics.json").read_text())
    timing = metrics.pop("run")
    assert timing["seconds"] > 0 and timing["steps"] == timing["steps_asked"] == STEPS
    for name in ("gradient_stats.jsonl", "train.tsv"):
        found[name] = (out / "logs" / name).read_text()
    return {**found, "rows": rows, "metrics": metrics}


@pytest.mark.slow
def test_killed_three_ways_and_resumed_is_never_killed(workspace):
    assert interrupted(workspace, signal.SIGKILL, 15)[0] == -signal.SIGKILL
    code, errors = interrupted(workspace, signal.SIGTERM, 30)
    assert code == 143 and "resuming at step" in errors and "SIGTERM: stopped after" in errors
    code, errors = interrupted(workspace, signal.SIGINT, 45)
    assert code == 130 and "resuming at step" in errors and "SIGINT: stopped after" in errors
    process = trainer(workspace)
    _, errors = process.communicate()
    assert process.returncode == 0 and "resuming at step" in errors
    patched = results(workspace)
    assert not list((workspace / "out_local/ckpt").glob("*/state.pt"))

    process = trainer(workspace)
    _, errors = process.communicate()
    assert process.returncode == 0 and "resuming" not in errors
    whole = results(workspace)
    assert [row["step"] for row in patched["rows"]] == list(range(STEPS))
    assert {name for name in whole if patched[name] != whole[name]} == set()
    images = [f"test_imgs/step_{step:04d}_view_{view}.png" for step in range(0, 61, 20) for view in range(3)]
    worlds = [f"logs/worlds/step_{step:04d}.npz" for step in range(0, 61, 20)]
    assert {*images, *worlds} <= set(whole)


def test_a_second_trainer_is_refused_and_touches_nothing(workspace):
    kept = workspace / "out_local/logs/train.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("of the first")
    with hold(workspace / "out_local/ckpt/outputs.lock"):
        process = trainer(workspace)
        _, errors = process.communicate()
    assert process.returncode == 1 and kept.read_text() == "of the first"
    assert f"another training run (process {os.getpid()}) holds" in errors and "Traceback" not in errors


def test_one_state_has_one_owner(tmp_path):
    with Checkpoint(tmp_path / "run"):
        with pytest.raises(AlreadyTraining, match="two cannot write the same files"):
            Checkpoint(tmp_path / "run").__enter__()
    with Checkpoint(tmp_path / "run"):
        pass


def test_a_signal_is_remembered_until_the_step_is_done(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with Checkpoint(tmp_path / "run") as checkpoint:
        assert not checkpoint.signals.caught
        os.kill(os.getpid(), signal.SIGTERM)
        assert checkpoint.signals.caught == signal.SIGTERM
        with pytest.raises(SystemExit) as left:
            checkpoint.leave(7, signal.SIGTERM)
    assert left.value.code == 143 and "SIGTERM: stopped after 7 steps" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_failed_save_leaves_the_last_state(tmp_path):
    with Checkpoint(tmp_path / "run") as checkpoint:
        assert checkpoint.load() is None
        checkpoint.save({"step": 1, "tensor": torch.arange(3)})
        with pytest.raises(Exception, match="pickle"):
            checkpoint.save({"step": 2, "bad": lambda: None})
        assert checkpoint.load()["step"] == 1
        assert [p.name for p in checkpoint.folder.iterdir()] == ["state.pt"]
        checkpoint.remove()
        assert checkpoint.load() is None


def test_a_broken_state_is_named_with_the_remedy(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/state.pt").write_bytes(b"half")
    with Checkpoint(tmp_path / "run") as checkpoint, pytest.raises(ValueError, match="state.pt.*delete"):
        checkpoint.load()


def test_fingerprints_tell_apart_all_that_changes_a_result(tmp_path):
    folder, file = tmp_path / "grid", tmp_path / "metadata.json"
    folder.mkdir()
    (folder / "a").write_text("one")
    file.write_text("{}")
    seen = [fingerprint({"lr": 0.05}, [folder, file])]
    assert fingerprint({"lr": 0.05}, [folder, file]) == seen[0]
    seen.append(fingerprint({"lr": 0.06}, [folder, file]))
    (folder / "a").write_text("two")
    seen.append(fingerprint({"lr": 0.05}, [folder, file]))
    (folder / "a").rename(folder / "b")
    seen.append(fingerprint({"lr": 0.05}, [folder, file]))
    seen.append(fingerprint({"lr": 0.05}, [folder]))
    assert len(set(seen)) == len(seen)


def test_sources_are_those_imported():
    sources = [path.relative_to(ROOT).as_posix() for path in imported_sources("voxsds")]
    assert {"voxsds/train/training.py", "voxsds/train/checkpoint.py", "voxsds/guidance/sds.py"} <= set(
        sources
    )


def test_states_are_kept_where_dvc_does_not_delete_them(monkeypatch):
    monkeypatch.delenv("VOXSDS_CKPT_DIR", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert checkpoint_root() == Path("out_local/ckpt")
    monkeypatch.setenv("DVC_ROOT", "/original")
    assert checkpoint_root() == Path("/original/out_local/ckpt")
    monkeypatch.setenv("VOXSDS_CKPT_DIR", "/states")
    assert checkpoint_root() == Path("/states")
