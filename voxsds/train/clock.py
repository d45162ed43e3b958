"""Times that the parts of a training step take, read without making the step wait for the clock."""

import statistics
import time
from typing import Any

import torch


class StepClock:
    """Milliseconds of the parts of steps. A part ends at its `lap` and began where the one before ended.

    On CUDA the device's own clock is read, at the start of the next step: laps are events among the
    work, which the processor has handed over long before.
    """

    def __init__(self, device: torch.device):
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []
        self._steps: list[dict[str, float]] = []

    def start(self) -> None:
        """A step begins."""
        self._close()
        self.lap("")

    def lap(self, part: str) -> None:
        """The work since the last mark was `part`; parts of one name are added up."""
        if not self._on_gpu:
            self._marks.append((part, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append((part, event))

    def _close(self) -> None:
        """Takes the times of the step that ended, and waits for the device to have ended it."""
        if len(self._marks) > 1:
            if self._on_gpu:
                self._marks[-1][1].synchronize()
            parts: dict[str, float] = {}
            for (_, before), (part, after) in zip(self._marks, self._marks[1:], strict=False):
                parts[part] = parts.get(part, 0.0) + self._between(before, after)
            self._steps.append(parts)
        self._marks = []

    def _between(self, before: Any, after: Any) -> float:
        return before.elapsed_time(after) if self._on_gpu else 1000 * (after - before)

    def medians(self, last: int | None = None) -> dict[str, float]:
        """Median milliseconds of each part over the `last` steps (all where not given), in their order."""
        self._close()
        steps = self._steps[-last:] if last else self._steps
        names = dict.fromkeys(name for step in steps for name in step)
        return {name: statistics.median(step.get(name, 0.0) for step in steps) for name in names}
