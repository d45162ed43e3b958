"""Group normalisation with SiLU behind it, in one pass over images whose channels lie side by side; GEGLU.

Convolutions on a GPU want channels last. torch's own GroupNorm on CUDA copies to channels first and
leaves them there, so that every convolution behind one copies back, and the SiLU is a pass of its own:
in SDXL's encoder that costs more than the convolutions. Here the layout stays, and from forward to
backward only the input is kept.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

GATES = 1024  # numbers of a row that a program makes
TILE = 4096  # numbers that a program has in registers at a time
PROGRAMS = 1024  # that sum up an image, at most
SHARES = 8192  # of programs and channels in a group, at most: one program adds them up in its registers


def _power_of_two(n: int) -> int:
    """The least one that is no smaller than `n`."""
    return 1 << (n - 1).bit_length()


class _Plan:
    """Sizes by which the work on tensors like `x`, in `groups` groups, is shared out."""

    def __init__(self, x: Tensor, groups: int):
        self.images, self.channels = x.shape[:2]
        self.pixels = x.shape[2] * x.shape[3]
        self.groups, self.per_group = groups, self.channels // groups
        wide = _power_of_two(self.channels)
        rows = max(1, TILE // wide)
        every = -(-self.pixels // rows)
        group = _power_of_two(self.per_group)
        self.tiles = -(-every // max(1, min(PROGRAMS, SHARES // group)))
        self.over_tiles = (every, self.images)
        self.over_parts = (-(-every // self.tiles), self.images)
        self.over_groups = (groups, self.images)
        self.rows = rows * self.tiles  # of a program of `over_parts`
        self.tile: dict[str, Any] = {"ROWS": rows, "WIDE": wide, "num_warps": 4}
        programs = self.over_parts[0]
        self.group: dict[str, Any] = {
            "PROGRAMS": _power_of_two(programs),
            "GROUP": group,
            "num_warps": 8,
        }

    def parts(self, x: Tensor) -> Tensor:
        return x.new_empty((self.images, self.over_parts[0], 2, self.channels), dtype=torch.float32)


def _last(x: Tensor) -> Tensor:
    """`x` with its channels side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, groups, epsilon, silu):
        from voxsds.guidance.fast import norm_kernels

        kernels: Any = norm_kernels
        x = _last(x)
        plan = _Plan(x, groups)
        size, parts = (plan.pixels, plan.channels), plan.parts(x)
        table = parts.new_empty((plan.images, 4, plan.channels))
        y = torch.empty_like(x)
        kernels.moments[plan.over_parts](x, parts, *size, TILES=plan.tiles, **plan.tile)
        kernels.scales[plan.over_groups](
            parts, weight, bias, table, epsilon, *size, plan.per_group, plan.over_parts[0], plan.rows,
            **plan.group,
        )  # fmt: skip
        kernels.normalise[plan.over_tiles](x, table, y, *size, SILU=silu, **plan.tile)
        ctx.save_for_backward(x, table, weight)
        ctx.knobs = groups, silu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        from voxsds.guidance.fast import norm_kernels

        kernels: Any = norm_kernels
        (x, table, weight), (groups, silu) = ctx.saved_tensors, ctx.knobs
        dy, plan = _last(gradients[0]), _Plan(x, groups)
        size, parts = (plan.pixels, plan.channels), plan.parts(x)
        means, dx = parts.new_empty((plan.images, 2, plan.channels)), torch.empty_like(x)
        given = x, dy, table, weight
        kernels.back_sums[plan.over_parts](*given, parts, *size, TILES=plan.tiles, SILU=silu, **plan.tile)
        kernels.back_means[plan.over_groups](
            parts, means, *size, plan.per_group, plan.over_parts[0], **plan.group
        )
        kernels.back[plan.over_tiles](*given, means, dx, *size, SILU=silu, **plan.tile)
        return dx, None, None, None, None, None


class GroupNormSilu(nn.Module):
    """`norm`, and where `silu` an `nn.SiLU` behind it, in one kernel; differentiable in the input alone.

    The result has its channels last. Sums are float32: in bfloat16 the rounding of the result is the
    only error, 2^-9 of it.
    """

    def __init__(self, norm: nn.GroupNorm, silu: bool):
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.epsilon, self.silu = norm.num_groups, norm.eps, silu

    def forward(
        self, x: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images channels height width"]:
        return _Norm.apply(x, self.weight, self.bias, self.groups, self.epsilon, self.silu)


def gated_gelu(both: Float[Tensor, "*rows twice"]) -> Float[Tensor, "*rows channels"]:
    """h gelu(g) of the halves h and g of each row (arXiv 2002.05202), without gradient.

    In torch two kernels, neither at half of the memory's speed, as a half row is no contiguous tensor.
    """
    from voxsds.guidance.fast import norm_kernels

    kernels: Any = norm_kernels
    both = both.contiguous()
    channels = both.shape[-1] // 2
    gated = both.new_empty((*both.shape[:-1], channels))
    blocks = -(-channels // GATES)
    kernels.gate[(gated.numel() // channels, blocks)](both, gated, channels, WIDE=GATES, num_warps=4)
    return gated
