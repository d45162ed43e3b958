"""The real pipeline in a clone: what it makes, dvc repro again, and repro after a kill.

Teacher and evaluator have random weights and the run a few steps: this is about the plumbing.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.helpers.newcomer import STEPS
from tests.helpers.pipeline_clone import environment, merged, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


def set_params(project: Path, overlay: dict) -> None:
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), overlay), sort_keys=False))


def test_repro_makes_all_that_the_project_promises(project):
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert list(stages) == ["check", "gradcheck", "init_grid", "train", "export", "validate"]
    for made in (
        "maps/1/map_optimized.json out_local/logs/train.jsonl out_local/logs/gradient_stats.jsonl "
        "out_local/logs/train.tsv out_local/test_imgs/step_0000_view_0.png "
        f"out_local/test_imgs/step_{STEPS:04d}_view_2.png out_local/nv_diff_logs/final_gradient_test.json "
        "out_local/gradcheck/gate.json out_local/report/metrics.json out_local/report/before_after.png "
        "out_local/report/index.html out_local/report/figures.json out_local/export/untidied.npz "
        "out_local/report/test_images/view_2.png"
    ).split():
        assert (project / made).stat().st_size > 0, made
    figures = json.loads((project / "out_local/report/metrics.json").read_text())
    assert figures["gradcheck"]["ok"] and figures["run"]["steps"] == STEPS
    assert json.loads((project / "out_local/report/figures.json").read_text())["map"]["valid"]


def test_repro_a_second_time_has_nothing_to_do(project):
    assert "up to date" in run(project, "dvc", "repro").stdout
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_repro_after_a_kill_goes_on_where_the_run_was(project):
    """Everything is killed at once, as by a lost machine: no handler runs, no lock is given back."""
    steps = 40
    set_params(project, {"train": {"steps": steps, "checkpoint_every": 5}})
    log = project / "out_local" / "logs" / "train.jsonl"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=project,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (log.exists() and len(log.read_bytes().splitlines()) > 12):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    done = run(project, "dvc", "repro", "train")
    resumed = [line for line in done.stderr.splitlines() if "resuming at step" in line]
    assert resumed and int(resumed[0].split("resuming at step ")[1].split()[0]) >= 10
    logged = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert logged == list(range(steps))
