"""Parts that the three trainings share: a step, the clock, the learning rate, averages, several processes."""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from voxsds.guidance.fast.graphs import warm_up


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


class Gradients:
    """Calls `loss_of(*batch)` and leaves its gradients in `parameters`.

    On CUDA the calls after the first are one CUDA graph, because Python takes longer to start the
    kernels of a small network than the card to run them. Batches must not change their shapes,
    `loss_of` must not wait for the device, and nobody may set the gradients to None.
    """

    def __init__(self, loss_of: Callable[..., Float[Tensor, ""]], parameters: list[Tensor]):
        self._loss_of, self._parameters = loss_of, parameters
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch: Tensor) -> Float[Tensor, ""]:
        if not batch[0].is_cuda:
            return self._backward(batch)
        if self._graph is None:
            self._record(batch)
        for place, tensor in zip(self._places, batch, strict=True):
            place.copy_(tensor)
        self._graph.replay()
        return self._loss

    def _backward(self, batch: Iterable[Tensor]) -> Float[Tensor, ""]:
        for parameter in self._parameters:
            parameter.grad = None
        loss = self._loss_of(*batch)
        loss.backward()
        return loss.detach()

    def _record(self, batch: Iterable[Tensor]) -> None:
        self._places = [tensor.clone() for tensor in batch]
        warm_up(lambda: self._backward(self._places))
        self._graph = torch.cuda.CUDAGraph()
        # NCCL's watchdog asks the card about events, which a stricter recording would forbid.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._loss = self._backward(self._places)


@dataclass(frozen=True)
class Descent:
    """Descent by AdamW (Loshchilov & Hutter 2019) with a learning rate that warms up and falls."""

    lr: float
    weight_decay: float
    betas: tuple[float, float]
    warmup: int  # steps
    average: float  # decay of the averaged weights, which are the ones shipped
    seconds: float


class Fit:
    """A training of `parameters` on `loss_of(*batch)`: all that goes on when it was left."""

    def __init__(self, loss_of: Callable[..., Float[Tensor, ""]], parameters: Iterable[Tensor], how: Descent):
        self.parameters, self.how = list(parameters), how
        self.gradients = Gradients(loss_of, self.parameters)
        self.averaged = Averaged(self.parameters, how.average)
        cuda = self.parameters[0].is_cuda
        self.optimizer = torch.optim.AdamW(
            self.parameters, how.lr, betas=how.betas, weight_decay=how.weight_decay, fused=cuda
        )
        self.rate, self.clock, self.step = WarmupCosine(how.lr, how.warmup), Clock(how.seconds), 0
        self.seconds_before = 0.0

    @property
    def seconds(self) -> float:
        return self.seconds_before + self.clock.elapsed

    @property
    def is_done(self) -> bool:
        return self.clock.progress(self.step) >= 1

    def advance(self, *batch: Tensor) -> Float[Tensor, ""]:
        """One step; the loss before it, which the next step overwrites."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate.at(self.step, self.clock.progress(self.step))
        loss = self.gradients(*batch)
        average_gradients(self.parameters)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.averaged.update(self.step)
        self.step += 1
        return loss

    def report(self, name: str, loss: Float[Tensor, ""], every: int = 500) -> None:
        """Prints a line now and then."""
        if self.step % every == 0:
            done = f"{self.step} of {self.clock.steps}"
            print(f"{name} step {done}: loss {loss.item():.4f}, {self.seconds:.0f} s", flush=True)

    def save(self, path: Path) -> None:
        """Everything, at once or not at all."""
        partial = path.with_suffix(".partial")
        state = {
            "parameters": [parameter.detach() for parameter in self.parameters],
            "mean": self.averaged.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "steps": self.clock.steps,
            "seconds": self.seconds,
        }
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.parameters[0].device, weights_only=True)
        for parameter, saved in zip(self.parameters, state["parameters"], strict=True):
            parameter.data.copy_(saved)
        self.averaged.mean = state["mean"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds_before = state["step"], state["seconds"]
        self.clock = Clock(self.how.seconds, state["steps"])


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def training_arguments(description: str | None) -> argparse.Namespace:
    """Paths of the renders and of the model, and the settings to train it with."""
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
