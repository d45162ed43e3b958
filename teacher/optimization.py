"""What the three trainings share: the clock, the learning rate, averaged weights, several processes."""

import argparse
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class WarmupCosine:
    """Learning rate: linear over the first `warmup` steps, then a cosine down to `end` x peak."""

    peak: float
    warmup: int
    end: float = 0.02

    def at(self, step: int, progress: float) -> float:
        """`progress` runs from 0 at the first step to 1 at the last."""
        cosine = self.end + (1 - self.end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return self.peak * min(1.0, (step + 1) / self.warmup) * cosine


class Clock:
    """Turns a budget in seconds into a number of steps, the same on every process.

    The first `calibration` steps are timed after a warm-up, in which kernels are compiled; until then
    progress is 0. A training that was left and goes on later keeps the number of steps it had.
    """

    def __init__(self, seconds: float, steps: int | None = None, warmup: int = 100, calibration: int = 200):
        self.seconds, self.warmup, self.calibration = seconds, warmup, calibration
        self.start = time.perf_counter()
        self.mark = 0.0
        self.steps = steps

    def progress(self, step: int) -> float:
        """0 at the first step, 1 where the budget is spent."""
        if self.steps is None and step == self.warmup:
            _synchronise()
            self.mark = time.perf_counter()
        if self.steps is None and step == self.warmup + self.calibration:
            _synchronise()
            now = time.perf_counter()
            per_step = (now - self.mark) / self.calibration
            left = (self.seconds - (now - self.start)) / per_step
            self.steps = step + max(1, int(agreed(left)))
        return step / self.steps if self.steps else 0.0

    def is_over(self, step: int, seconds: float) -> bool:
        """Whether this process has been at it for so long, the same on every process; asked now and then."""
        return step % 50 == 0 and agreed(self.elapsed) > seconds

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.start


class Averaged:
    """Exponential moving average of parameters, with the usual warm-up."""

    def __init__(self, parameters: Iterable[Tensor], decay: float):
        self.live = list(parameters)
        self.mean = [p.detach().clone() for p in self.live]
        self.decay = decay

    def update(self, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 50))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1 - decay)

    def copy_to(self, parameters: Iterable[Tensor]) -> None:
        """Writes the means into `parameters`, which may be those of a fresh copy of the model."""
        for parameter, mean in zip(parameters, self.mean, strict=True):
            parameter.data.copy_(mean)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def training_arguments(description: str | None) -> argparse.Namespace:
    """Where the renders are, where the model goes, and which settings to train it with."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("teacher/params.yaml"))
    parser.add_argument(
        "--stop-after",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="leave the training to a later call of the same command",
    )
    return parser.parse_args()


def start_processes() -> tuple[int, int, torch.device]:
    """Rank, number of processes and device, under torchrun or alone."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    return rank, world, device


def average_gradients(parameters: list[Tensor]) -> None:
    """Mean of the gradients over all processes, in one message."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch._utils._flatten_dense_tensors(gradients)
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, torch._utils._unflatten_dense_tensors(flat, gradients), strict=True):
        gradient.copy_(mean)


def agreed(number: float) -> float:
    """The first process's number, on every process."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor([number], device="cuda" if torch.cuda.is_available() else "cpu")
    dist.broadcast(shared, 0)
    return float(shared)
