"""The colours of a field, before any ray is sent: what each voxel shows through each of its faces."""

import torch
from jaxtyping import Float
from torch import Tensor


def paint(
    material: Float[Tensor, "X Y Z S"],  # share of each solid material
    lit: Float[Tensor, "S 6 C"],  # light.lit_faces, of the same type and on the same device
) -> Float[Tensor, "X Y Z 6 C"]:
    """Linear RGB of each voxel through each face: c = sum_s m_s lit[s, face].

    C is 3, and 4 for a backend that wants room for one number more. Differentiable in both. Halves of a red
    and of a blue material give (0.5, 0, 0.5) on all sides.

    One batched product, a slice of x at a time: bits of a product of all voxels at once change with the
    number of threads, those of slices did not in any world tried that is more than a block thick. On CUDA
    it is as exact as torch is told to be: with TF32, used only where asked for, colours have three digits.
    """
    x, solids = material.shape[0], lit.shape[0]
    slices, table = material.reshape(x, -1, solids), lit.reshape(1, solids, -1)
    return torch.bmm(slices, table.expand(x, -1, -1)).reshape(*material.shape[:3], *lit.shape[1:])
