"""Colours of a field before any ray is sent: the colour of each voxel through each of its faces."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad


def paint(
    material: Float[Tensor, "X Y Z S"],  # share of each solid material
    lit: Float[Tensor, "S 6 C"],  # light.lit_faces, of the same type and on the same device; C = 3
) -> Float[Tensor, "X Y Z 6 C"]:
    """Linear RGB of each voxel through each face: c = sum_s m_s lit[s, face].

    Differentiable in both. Halves of a red and of a blue material give (0.5, 0, 0.5) on all sides.

    One batched product, a slice of x at a time: bits of a product of all voxels at once change with the
    number of threads, those of slices did not in any world tried that is more than a block thick. On CUDA
    it is as exact as torch is told to be: with TF32, used only where asked for, colours have three digits.
    """
    x, solids = material.shape[0], lit.shape[0]
    slices, table = material.reshape(x, -1, solids), lit.reshape(1, solids, -1)
    return torch.bmm(slices, table.expand(x, -1, -1)).reshape(*material.shape[:3], *lit.shape[1:])


def paint_with_room(
    material: Float[Tensor, "X Y Z S"], opacity: Float[Tensor, "X Y Z"], lit: Float[Tensor, "S 6 3"]
) -> Float[Tensor, "X Y Z 6 4"]:
    """`paint`, and in the fourth channel a zero: room for the gradient of `opacity` on its way back.

    A backend that sums four numbers at once adds to it what a face tells of the opacity, and the sum over
    the six faces comes from the product that the gradient of `material` takes anyway.
    """
    return _WithRoom.apply(material, opacity, lit)  # pyright: ignore[reportReturnType]


class _WithRoom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, material, opacity, lit):
        table = pad(lit, (0, 1, 0, 0, 0, 1))  # (S + 1, 6, 4)
        table[-1, :, 3] = 1
        ctx.save_for_backward(table)
        return paint(material, table[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, *by_faces):
        (table,) = ctx.saved_tensors
        x, shape = len(by_faces[0]), by_faces[0].shape[:3]
        product = torch.bmm(by_faces[0].reshape(x, -1, 24), table.flatten(1).T.expand(x, -1, -1))
        by_material, by_opacity = product.reshape(*shape, -1).split([len(table) - 1, 1], dim=-1)
        return by_material, by_opacity[..., 0], None
