"""Fields, which the renderer draws: the opacity of each voxel, and its shares of materials."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from voxsds.world.palette import AIR

LARGE = 64  # voxels along a side


class Field(NamedTuple):
    """A grid of voxels as the renderer takes it."""

    opacity: Float[Tensor, "X Y Z"]  # 0..1
    material: Float[Tensor, "X Y Z S"]  # share of each solid material; sums to 1


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a world is so large that its ground takes longer to go: 64 voxels along a side."""
    return max(shape) >= LARGE


def confined(field: Field, cells: Bool[Tensor, "X Y Z"]) -> Field:
    """`field` with a gradient in `cells` alone."""
    opacity, material = field
    return Field(
        torch.where(cells, opacity, opacity.detach()),
        torch.where(cells[..., None], material, material.detach()),
    )


def solid_field(
    blocks: Integer[np.ndarray, "X Y Z"],  # material index, 0 = air
    solids: int,  # number of solid materials, air not counted
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Field:
    """The opaque world `blocks`: opacities 0 or 1, one material a block.

    Air has the first solid material, which is what would be seen if a block were put there.
    """
    if blocks.size and not 0 <= int(blocks.min()) <= int(blocks.max()) <= solids:
        raise ValueError(
            f"blocks hold materials {int(blocks.min())}..{int(blocks.max())}; known are 0..{solids}"
        )
    ids = torch.as_tensor(np.ascontiguousarray(blocks), device=device).to(torch.int64)
    material = torch.nn.functional.one_hot((ids - 1).clamp(min=0), solids)
    return Field((ids != AIR).to(dtype), material.to(dtype))
