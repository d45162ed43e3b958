"""Regularisers: penalties per voxel, and the mean over the voxels that may be regularised.

Adam normalises gradients, so a voxel that no image tells anything about follows the slightest penalty
at full speed: a mean-occupancy penalty over the whole grid digs away everything underground. Hence no
function here takes a mean over the grid; `masked_mean` takes it over the voxels that were touched.

A new regulariser is a function here, a line of `penalties`, and its weight in `recipe.Penalties`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.train.recipe import Penalties
from voxsds.world.field import Field

TOUCHED = 0.01  # weight in some pixel from which on this step's images tell about a voxel


def penalties(
    weights: Penalties, field: Field, reach: Float[Tensor, "X Y Z"]
) -> dict[str, Float[Tensor, ""]]:
    """Weighted regularisers by name, means over the voxels that are `touched`, to be added to the loss.

    Those of weight zero are not computed: a zero without gradient stands for them.
    """
    opacity, material = field
    mask = touched(reach, opacity)

    def mean(weight: float, penalty: Callable[..., Tensor], *arguments: Tensor) -> Float[Tensor, ""]:
        return weight * masked_mean(penalty(*arguments), mask) if weight else opacity.new_zeros(())

    return {
        "sparsity": mean(weights.sparsity, sparsity, opacity),
        "entropy": mean(weights.entropy, material_entropy, material),
        "smoothness": mean(weights.smoothness, smoothness, opacity, mask),
        "binarisation": mean(weights.binarisation, binarisation, opacity),
        "patchwork": mean(weights.patchwork, patchwork, opacity, material, mask),
    }


def touched(
    reach: Float[Tensor, "X Y Z"],  # largest transmittance with which a ray arrives
    opacity: Float[Tensor, "X Y Z"],
) -> Bool[Tensor, "X Y Z"]:
    """The voxels that weigh more than 1e-2 in some pixel of this step's images."""
    return reach * opacity.detach() > TOUCHED


def masked_mean(penalty: Float[Tensor, "X Y Z"], mask: Bool[Tensor, "X Y Z"]) -> Float[Tensor, ""]:
    """Mean of `penalty` over the voxels of `mask`, 0 if there are none; the others get no gradient."""
    return torch.where(mask, penalty, 0).sum() / mask.sum().clamp(min=1)


def sparsity(opacity: Float[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """The opacity itself: every block costs the same."""
    return opacity


def binarisation(opacity: Float[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """4 a (1 - a): 1 for a half-transparent voxel, 0 for a block and for nothing."""
    return 4 * opacity * (1 - opacity)


def material_entropy(material: Float[Tensor, "X Y Z S"]) -> Float[Tensor, "X Y Z"]:
    """-sum p log p in nats: 0 for one material, log 2 for two alike; finite gradient at p = 0."""
    return -(material * material.clamp(min=1e-8).log()).sum(dim=-1)


def smoothness(opacity: Float[Tensor, "X Y Z"], mask: Bool[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """Squared differences to the next voxel along x, y and z, pairs inside `mask` only.

    Written at the first voxel of each pair; a lone opaque voxel in a row of empty ones costs 2 an axis.
    """
    return _over_pairs(mask, lambda axis: opacity.diff(dim=axis).square())


def patchwork(
    opacity: Float[Tensor, "X Y Z"],
    material: Float[Tensor, "X Y Z S"],
    mask: Bool[Tensor, "X Y Z"],
) -> Float[Tensor, "X Y Z"]:
    """Difference in material of neighbours along x, y and z where both are blocks, pairs in `mask` only.

    a a' |p - p'|^2 / 2, written at the first voxel of each pair; a lone block of sand in a field of snow
    costs 2 an axis, two voxels that are equally undecided nothing. No gradient to the opacities: a border
    between materials is no reason to dig.
    """
    opacity = opacity.detach()

    def borders(axis: int) -> Float[Tensor, "..."]:
        size = opacity.shape[axis] - 1
        first, second = (slice(0, size), slice(1, size + 1))
        blocks = opacity.movedim(axis, 0)
        shares = material.movedim(axis, 0)
        differing = (shares[first] - shares[second]).square().sum(dim=-1) / 2
        return (blocks[first] * blocks[second] * differing).movedim(0, axis)

    return _over_pairs(mask, borders)


def _over_pairs(
    mask: Bool[Tensor, "X Y Z"], penalty: Callable[[int], Float[Tensor, "..."]]
) -> Float[Tensor, "X Y Z"]:
    """The sum over the axes of a penalty on neighbours along an axis, both of them in `mask`."""
    total = torch.zeros(mask.shape, device=mask.device)
    for axis in range(3):
        size = mask.shape[axis] - 1
        pair = mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size)
        padding = [0, 0] * (2 - axis) + [0, 1] + [0, 0] * axis
        total = total + torch.nn.functional.pad(penalty(axis) * pair, padding)
    return total
