"""The live page: what it tells of a run that is being written, and whom it answers."""

import json
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from voxsds.cli.live.progress import RECENT, read_progress, whole_lines
from voxsds.cli.live.watch import Server, duration, now_html, watch
from voxsds.train.log import COLUMNS, RunLog
from voxsds.train.training import StepRecord

PROMPT = "a <script>alert(1)</script> tower"
STEPS = 50


def record(step: int) -> StepRecord:
    probe = {"eps": 0.3 - 0.001 * step, "margin": 0.01} if step % 10 == 0 else None
    return StepRecord(
        step=step,
        temperature=1.0,
        occupancy_temperature=0.5,
        lr=0.05,
        camera_index=0,
        camera_indices=[0],
        timesteps=[500],
        losses={"total": 0.1 + step, "sds": 0.1, "sparsity": 0.0, "entropy": 0.0},
        residual=0.2,
        grid_stats={"num_active_voxels": 7, "occupancy_mean": 0.5},
        gradient_stats={"occupancy_grad_norm": 1.0, "material_grad_norm": 2.0, "grad_health_score": 1.0},
        probe=probe,
    )


@pytest.fixture
def log(tmp_path):
    """A run that has just begun."""
    made = RunLog(tmp_path, {"prompt": PROMPT, "steps": STEPS})
    made.moment(0, torch.rand(3, 3, 8, 8), np.zeros((2, 2, 2), dtype=np.int64))
    return made


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path, port=0) as made:
        thread = threading.Thread(target=made.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield made
        made.shutdown()


def get(server: Server, path: str, host: str | None = None) -> bytes:
    request = urllib.request.Request(server.url + path.removeprefix("/"))
    if host:
        request.add_header("Host", host)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def retime(log: RunLog, seconds: float, start: datetime) -> None:
    """Writes other times into train.jsonl: a step every `seconds`."""
    path = log.logs / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["timestamp"] = (start + timedelta(seconds=seconds * i)).isoformat(timespec="milliseconds")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_before_a_run_there_is_nothing_and_the_page_says_so(tmp_path, server):
    assert read_progress(tmp_path) is None
    assert b"Nothing is running yet" in get(server, "/now")


def test_the_page_brings_its_style_and_its_script(server):
    page = get(server, "/").decode()
    assert "<style>" in page and ".chart" in page and 'fetch("/now")' in page


def test_a_run_that_begins_has_no_times_yet(log, tmp_path, server):
    progress = read_progress(tmp_path)
    assert (progress.done, progress.step_seconds, progress.seconds_left) == (0, None, None)
    assert b"not known yet" in get(server, "/now")


def test_progress_is_that_of_the_last_steps(log, tmp_path):
    for step in range(30):
        log.add(record(step))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    retime(log, 0.5, start)
    progress = read_progress(tmp_path, now=start.timestamp() + 29 * 0.5 + 7)
    assert progress.done == 30 and progress.steps == STEPS and progress.prompt == PROMPT
    assert progress.step_seconds == pytest.approx(0.5) and progress.seconds_left == pytest.approx(10)
    assert progress.idle_seconds == pytest.approx(7) and not progress.stalled and not progress.finished
    assert read_progress(tmp_path, now=start.timestamp() + 200).stalled
    assert progress.history["loss"].iloc[-1] == pytest.approx(29.1)
    assert progress.images == {0: [f"step_0000_view_{i}.png" for i in range(3)]}


def test_only_the_end_of_a_long_log_is_read_for_the_times(log, tmp_path):
    for step in range(STEPS):
        log.add(record(step))
    path = log.logs / "train.jsonl"
    path.write_text("not json\n" * 10_000 + path.read_text() * 4)
    assert read_progress(tmp_path).step_seconds is not None
    assert RECENT < STEPS


def test_a_line_that_is_just_being_written_is_left_for_later(log, tmp_path):
    for step in range(3):
        log.add(record(step))
    for name in ("train.tsv", "train.jsonl"):
        with open(log.logs / name, "a") as file:
            file.write("3\t0.1" if name.endswith("tsv") else '{"step": 3, "tim')
    assert read_progress(tmp_path).done == 3
    assert whole_lines("a\nb") == "a\n" and whole_lines("a") == ""


def test_the_page_shows_steps_images_and_curves_and_no_html_of_the_prompt(log, tmp_path, server):
    for step in range(20):
        log.add(record(step))
    log.moment(20, torch.rand(3, 3, 8, 8), np.zeros((2, 2, 2), dtype=np.int64))
    page = get(server, "/now").decode()
    assert "20 of 50" in page and "19.1000" in page and "Probe margin" in page
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    for name in ("step_0000_view_0.png", "step_0020_view_2.png"):
        assert f'src="/image/{name}"' in page
        assert get(server, f"/image/{name}") == (tmp_path / "test_imgs" / name).read_bytes()


def test_a_finished_run_is_called_finished(log, tmp_path):
    for step in range(STEPS):
        log.add(record(step))
    log.finish(STEPS, {})
    progress = read_progress(tmp_path, now=4e9)
    assert progress.finished and not progress.stalled and progress.seconds_left is None
    assert "finished" in now_html(progress)


@pytest.mark.parametrize(
    "path",
    ["/image/../logs/run.json", "/image/%2e%2e/logs/run.json", "/logs/run.json", "/image/step_9_view_9.png"],
)
def test_nothing_else_is_served(log, server, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        get(server, path)
    assert error.value.code == 404


def test_another_name_for_this_machine_is_refused(log, server):
    """DNS rebinding: a page of evil.example that resolves to 127.0.0.1 could read the prompt."""
    assert server.server_address[0] == "127.0.0.1"
    assert get(server, "/now", f"localhost:{server.server_port}")
    with pytest.raises(urllib.error.HTTPError) as error:
        get(server, "/now", f"evil.example:{server.server_port}")
    assert error.value.code == 403


def test_logs_that_cannot_be_read_are_an_error_of_the_page_and_not_its_end(log, server):
    (log.logs / "train.tsv").write_text("step\tloss\n1\n")
    with pytest.raises(urllib.error.HTTPError) as error:
        get(server, "/now")
    assert error.value.code == 500
    (log.logs / "train.tsv").write_text("\t".join(COLUMNS) + "\n")
    assert get(server, "/now")


def test_a_port_that_is_taken_is_named_with_the_remedy(server, tmp_path):
    with pytest.raises(ValueError, match=f"port {server.server_port}: .*give another with --port"):
        watch(tmp_path, server.server_port)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.browser
def test_the_page_follows_the_run_by_itself(log, server, chromium):
    page, said = chromium.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.url)
    page.get_by_text("0 of 50").wait_for(timeout=5000)
    for step in range(10):
        log.add(record(step))
    page.get_by_text("10 of 50").wait_for(timeout=5000)
    assert page.title() == "20 % – voxsds" and page.locator("h1").text_content() == PROMPT
    assert page.locator("svg").count() >= 4 and page.locator(".moments img").count() == 3
    assert page.evaluate("() => [...document.images].every(i => i.naturalWidth === 8)")
    page.close()
    assert said == []
