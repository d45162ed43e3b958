"""Functions of tensors as CUDA graphs: recorded once a shape, then started as one.

SDXL's UNet is some 3,000 kernels, which Python starts more slowly than an H100 runs them at 512 pixels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # calls before the recording: libraries choose their algorithms, Triton compiles


def warm_up(call: Callable[[], object]) -> None:
    """Makes the calls before a recording, and gives the memory back that they took: a graph has its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.empty_cache()


class Replayed:
    """`function` of CUDA tensors to one tensor, without gradients.

    It must read nothing else that changes, and must not wait for the device. The graphs of all shapes
    share their memory, about what one call takes without a graph.
    """

    def __init__(self, function: Callable[..., Tensor]):
        self._function = function
        self._recorded: dict[tuple, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self._pool = None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        key = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in inputs)
        if key not in self._recorded:
            self._recorded[key] = self._record(inputs)
        graph, places, output = self._recorded[key]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return output.clone()  # the next call, of any shape, may write there

    def _record(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        places = [tensor.clone() for tensor in inputs]
        warm_up(lambda: self._function(*places))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = self._function(*places)
        self._pool = graph.pool()
        return graph, places, output


class ReplayedWithGradient:
    """`function` of one CUDA tensor to one tensor, differentiable in it; otherwise as `Replayed`.

    What is returned is overwritten by the next call of the same shape, and what the forward keeps for
    the backward stays allocated. `plain` does the same where no gradient is wanted, without a graph.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], plain: Callable[[Tensor], Tensor]):
        self._function, self._plain = function, plain
        self._recorded: dict[tuple, Any] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and tensor.requires_grad):
            return self._plain(tensor)
        key = (tensor.shape, tensor.stride(), tensor.dtype)
        if key not in self._recorded:
            self._recorded[key] = self._record(tensor.detach().clone().requires_grad_())
        return self._recorded[key](tensor)

    def _record(self, sample: Tensor) -> Any:
        warm_up(lambda: torch.autograd.grad(self._function(sample).sum(), sample))
        return torch.cuda.make_graphed_callables(self._function, (sample,), num_warmup_iters=0)
