"""One run by several processes: each draws its share of a step's views, and all take the same step.

Started by `torchrun --nproc-per-node N -m stages.train`. Every process holds the whole grid and draws the
same random numbers; gradients are summed over the processes. A sum has the same bits in all of them, so
the grids stay equal without ever being sent. Tensors of a card go by NCCL, all others by gloo.

A process that has ended is noticed by gloo at once, but never by a card that waits for it. So before the
cards talk to each other, the processes do.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


class RankLost(Exception):
    """Another process of the run has ended, and this one cannot go on alone."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees them. The first one alone writes files."""

    rank: int
    size: int

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, views: int) -> slice:
        """Views of a step that this process draws: of 5 over 2, the first draws 2, the second 3.

        ValueError where there are fewer views than processes.
        """
        if views < self.size:
            raise ValueError(
                f"train.views is {views}, but {self.size} processes share the views of a step: raise "
                f"train.views to {self.size} or more, or start fewer (torchrun --nproc-per-node)"
            )
        return slice(self.rank * views // self.size, (self.rank + 1) * views // self.size)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes."""
        self._reduce(tensors, dist.ReduceOp.SUM)

    def raise_to_largest(self, tensor: Tensor) -> None:
        """Replaces each number by the largest that any process has there."""
        self._reduce([tensor], dist.ReduceOp.MAX)

    def gathered(self, own: Float[Tensor, " mine"], views: int) -> Float[Tensor, " views"]:
        """One number a view, from those of every process for its own views."""
        every = own.new_zeros(views)
        every[self.share(views)] = own
        self.add([every])
        return every

    def agreed(self, number: int) -> int:
        """The largest `number` of any process; all of them have to ask."""
        if self.size == 1:
            return number
        shared = torch.tensor([number])
        with self._together():
            dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def sent(self, value: Any) -> Any:
        """The value given by the first process, in all of them; tensors of the CPU, plain values."""
        if self.size == 1:
            return value
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process goes through the block before the others enter it: it fills caches."""
        if not self.first:
            self.agreed(0)
        yield
        if self.first:
            self.agreed(0)

    def _reduce(self, tensors: Iterable[Tensor], operation: Any) -> None:
        if self.size == 1:
            return
        tensors = list(tensors)
        if any(tensor.is_cuda for tensor in tensors):
            torch.cuda.synchronize()  # what is still being computed may take long enough to be killed in
            self.agreed(0)
        with self._together():
            for tensor in tensors:
                dist.all_reduce(tensor, operation)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RankLost(
                f"another process of this run has ended ({reason}); its own message says why. "
                "The same command resumes the run"
            ) from error


ALONE = Ranks(0, 1)


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started with this one; `ALONE` for a process started by itself.

    None of them leaves the block before all are through.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group("gloo" if own_device() == "cpu" else "cpu:gloo,cuda:nccl")
    ranks = Ranks(dist.get_rank(), dist.get_world_size())
    yield ranks
    ranks.agreed(0)
    dist.destroy_process_group()


def processes_here() -> int:
    """Number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def own_device() -> str:
    """The card of this process, one for each on a machine; ValueError where there are not enough."""
    if not torch.cuda.is_available():
        return "cpu"
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= (cards := torch.cuda.device_count()):
        raise ValueError(
            f"process {local} of this machine has no card: {cards} are visible; start {cards} processes "
            f"(torchrun --nproc-per-node {cards})"
        )
    torch.cuda.set_device(local)
    return f"cuda:{local}"
