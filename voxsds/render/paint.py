"""Colours of a field before any ray is sent: the colour of each voxel through each of its faces."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

SMALL = 2**19  # voxels of a world that one thread paints in milliseconds


def paint(
    material: Float[Tensor, "X Y Z S"],  # share of each solid material
    lit: Float[Tensor, "S 6 3"],  # light.lit_faces, of the same type and on the same device
) -> Float[Tensor, "X Y Z 6 3"]:
    """Linear RGB of each voxel through each face: c = sum_s m_s lit[s, face].

    Differentiable in `material`. Halves of a red and of a blue material give (0.5, 0, 0.5) on all sides.
    """
    return _Paint.apply(material, lit)  # pyright: ignore[reportReturnType]


def paint_with_room(
    material: Float[Tensor, "X Y Z S"], opacity: Float[Tensor, "X Y Z"], lit: Float[Tensor, "S 6 3"]
) -> Float[Tensor, "X Y Z 6 4"]:
    """`paint`, and in the fourth channel a zero: room for the gradient of `opacity` on its way back.

    A backend that sums four numbers at once adds to it what a face tells of the opacity, and the sum over
    the six faces comes from the product that the gradient of `material` takes anyway.
    """
    return _PaintWithRoom.apply(material, opacity, lit)  # pyright: ignore[reportReturnType]


class _Paint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, material, lit):
        ctx.save_for_backward(lit)
        return _product(material, lit.flatten(1)).unflatten(-1, (6, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx, *by_faces):
        (lit,) = ctx.saved_tensors
        return _product(by_faces[0].flatten(3), lit.flatten(1).T), None


class _PaintWithRoom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, material, opacity, lit):
        table = pad(lit, (0, 1, 0, 0, 0, 1))  # (S + 1, 6, 4)
        table[-1, :, 3] = 1
        ctx.save_for_backward(table)
        return _product(material, table[:-1].flatten(1)).unflatten(-1, (6, 4))

    @staticmethod
    @once_differentiable
    def backward(ctx, *by_faces):
        (table,) = ctx.saved_tensors
        sums = _product(by_faces[0].flatten(3), table.flatten(1).T)
        return sums[..., :-1], sums[..., -1], None


def _product(voxels: Float[Tensor, "X Y Z A"], table: Float[Tensor, "A B"]) -> Float[Tensor, "X Y Z B"]:
    """Product of every voxel's row with one table.

    Batched, a slice of x at a time: bits of a product of all voxels at once change with the number of
    threads, those of slices did not in any world tried that is more than a block thick. On CUDA it is as
    exact as torch is told to be: with TF32, used only where asked for, colours have three digits.
    """
    x, y, z, _ = voxels.shape
    with one_thread() if voxels.device.type == "cpu" and x * y * z <= SMALL else nullcontext():
        return torch.bmm(voxels.reshape(x, y * z, -1), table.expand(x, -1, -1)).reshape(x, y, z, -1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread: others would spin after it, on cores that the renderer wants next."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
