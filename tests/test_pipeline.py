"""The real commands in a clone: dvc repro, exp run, the three diffs, and repro after a kill.

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

from tests.helpers.pipeline_clone import clone, commit, environment, merged, run
from tests.helpers.tiny_evaluator import save_tiny_evaluator
from tests.helpers.tiny_pipeline import save_tiny_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

STEPS = 6
QUICK = {
    "teachers": {"tiny": {"resolution": 32, "clamp": False}},
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


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone in which the whole pipeline has run once and its results are committed."""
    folder = clone(tmp_path_factory.mktemp("project"), QUICK, leave_out=["models"])
    save_tiny_pipeline(folder / "models" / "tiny")
    save_tiny_evaluator(folder / "models" / "evaluator")
    commit(folder, "clone")
    run(folder, "dvc", "repro")
    commit(folder, "first run")
    return folder


def head(project: Path) -> str:
    return run(project, "git", "rev-parse", "HEAD").stdout.strip()


def set_params(project: Path, overlay: dict) -> None:
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), overlay), sort_keys=False))


def test_repro_makes_all_that_the_project_promises(project):
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert list(stages) == ["gradcheck", "init_grid", "train", "export", "validate"]
    for made in (
        "maps/1/map_optimized.json out_local/logs/train.jsonl out_local/logs/gradient_stats.jsonl "
        "out_local/logs/train.tsv out_local/test_imgs/step_0000_view_0.png "
        f"out_local/test_imgs/step_{STEPS:04d}_view_2.png out_local/nv_diff_logs/final_gradient_test.json "
        "out_local/gradcheck/gate.json out_local/report/metrics.json out_local/report/before_after.png "
        "out_local/report/index.html"
    ).split():
        assert (project / made).stat().st_size > 0, made
    figures = json.loads((project / "out_local/report/metrics.json").read_text())
    assert figures["gradcheck"]["ok"] and figures["map"]["valid"] and figures["run"]["steps"] == STEPS


def test_repro_a_second_time_has_nothing_to_do(project):
    assert "up to date" in run(project, "dvc", "repro").stdout
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_an_experiment_runs_on_changed_parameters_and_can_be_compared(project):
    before = head(project)
    said = run(project, "dvc", "exp", "run", "--name", "slower", "--set-param", "lr=0.02").stdout
    assert "Running stage 'train'" in said
    assert "Running stage 'gradcheck'" not in said and "Running stage 'init_grid'" not in said
    assert head(project) == before

    params = json.loads(run(project, "dvc", "params", "diff", "--json").stdout)
    lr = params["params.yaml"]["lr"]
    assert (lr["old"], lr["new"]) == (0.05, 0.02)
    metrics = json.loads(run(project, "dvc", "metrics", "diff", "--json").stdout)
    assert "quality.probe_eps.end" in metrics["out_local/report/metrics.json"]

    page = run(project, "dvc", "plots", "diff", "HEAD", "slower", "--out", "dvc_plots")
    html = (project / "dvc_plots" / "index.html").read_text()
    assert "probe_eps" in html and "occupancy_grad_norm" in html, page.stderr
    pictures = {p.name for p in (project / "dvc_plots").rglob("*.png")}
    for revision in ("HEAD", "slower"):
        assert any("before_after" in name and revision in name for name in pictures), sorted(pictures)
        assert any("step_0000_view_0" in name and revision in name for name in pictures), sorted(pictures)


def test_repro_after_a_kill_goes_on_where_the_run_was(project):
    """Everything is killed at once, as by a lost machine: no handler runs, no lock is given back."""
    run(project, "git", "checkout", "--quiet", "--force", "main")
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
    deadline = time.monotonic() + 90
    while not (log.exists() and len(log.read_bytes().splitlines()) > 12):
        assert process.poll() is None and time.monotonic() < deadline, (
            "the run ended before it could be killed"
        )
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    done = run(project, "dvc", "repro", "train")
    resumed = [line for line in done.stderr.splitlines() if "resuming at step" in line]
    assert resumed and int(resumed[0].split("resuming at step ")[1].split()[0]) >= 10
    logged = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert logged == list(range(steps))
