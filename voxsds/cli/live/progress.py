"""Progress of a training, read from its log so far, also while it writes."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from voxsds.report.charts import History
from voxsds.report.gather import NAME, parse_history

RECENT = 20  # steps whose time is averaged
STALLED = 60.0  # seconds without a step after which something is wrong, and at least 20 steps' time


@dataclass(frozen=True)
class Progress:
    """A run under way, or a finished one."""

    prompt: str
    steps: int  # asked for
    done: int
    step_seconds: float | None  # over the last steps; None before there are two
    idle_seconds: float  # since the last step
    finished: bool
    history: History
    images: dict[int, list[str]]  # file names in test_imgs by step, in the order of their views

    @property
    def seconds_left(self) -> float | None:
        """None where nobody can tell."""
        if self.step_seconds is None or self.finished or self.stalled:
            return None
        return self.step_seconds * (self.steps - self.done)

    @property
    def stalled(self) -> bool:
        """Whether no step came for so long that the training has probably ended."""
        patience = max(STALLED, RECENT * (self.step_seconds or 0.0))
        return not self.finished and self.idle_seconds > patience


def read_progress(folder: Path, now: float | None = None) -> Progress | None:
    """The run that logs into `folder` (out_local), at the Unix time `now`; None before there is one."""
    logs = folder / "logs"
    try:
        about = json.loads((logs / "run.json").read_text(encoding="utf-8"))
        curves = whole_lines((logs / "train.tsv").read_text(encoding="utf-8"))
        times = step_times(logs / "train.jsonl")
        began = (logs / "run.json").stat().st_mtime
    except FileNotFoundError:  # nothing yet, or a new run is just replacing the old one's files
        return None
    history = parse_history(curves, str(logs / "train.tsv")) if curves else pd.DataFrame({"step": []})
    last = times[-1] if times else began
    return Progress(
        prompt=str(about["prompt"]),
        steps=int(about["steps"]),
        done=len(history),
        step_seconds=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None,
        idle_seconds=max(0.0, (time.time() if now is None else now) - last),
        finished=(logs / "metrics.json").exists(),
        history=history,
        images=test_images(folder / "test_imgs"),
    )


def whole_lines(text: str) -> str:
    """`text` without what follows its last line end: a line that is just being written."""
    return text[: text.rfind("\n") + 1]


def step_times(path: Path) -> list[float]:
    """Unix times of the last RECENT + 1 steps in train.jsonl, from its end, however long it is."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2048 * (RECENT + 2)))
        lines = whole_lines(file.read().decode(errors="replace")).splitlines()
    rows = lines if size <= 2048 * (RECENT + 2) else lines[1:]
    stamps = [json.loads(row)["timestamp"] for row in rows[-RECENT - 1 :]]
    return [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]


def test_images(folder: Path) -> dict[int, list[str]]:
    """Names of the test images by step."""
    found: dict[int, list[str]] = {}
    matches = [match for path in folder.glob("step_*.png") if (match := NAME.fullmatch(path.name))]
    for match in sorted(matches, key=lambda m: (int(m[1]), int(m[2]))):
        found.setdefault(int(match[1]), []).append(match[0])
    return found
