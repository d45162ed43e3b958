"""Errors of a gradient: against central differences, and against blocks really put and taken away.

Everything is float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.render.rays import RayBundle
from voxsds.render.renderer import first_hit, render
from voxsds.world.field import Field, solid_field
from voxsds.world.palette import AIR

VISIBLE_REACH = 0.1  # light that must reach an empty voxel for a block put there to count as visible


@dataclass(frozen=True, eq=False)
class View:
    """A view of a world, and the loss that pulls it to a plain colour."""

    rays: RayBundle
    lit: Float[Tensor, "S 6 3"]
    target: Float[Tensor, "3"]  # RGB
    threshold: float  # opacities up to this are drawn as nothing
    backend: str

    def image(self, field: Field, threshold: float) -> Float[Tensor, "B 3 H W"]:
        """The exact image; no ray is stopped early."""
        drawn = render(
            *field, self.lit, self.rays, threshold=threshold, min_transmittance=0.0, backend=self.backend
        )
        return drawn.rgba[:, :3]

    def loss(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """Sum over pixels and RGB of (C - target)^2."""
        return (image - self.target[:, None, None]).square().sum()

    def visible(self, opacity: Float[Tensor, "X Y Z"]) -> Bool[Tensor, "X Y Z"]:
        """The blocks (opacity over a half) that some pixel sees first."""
        hit = first_hit(opacity.detach(), self.rays, backend=self.backend).voxel
        seen = torch.zeros(opacity.shape, dtype=torch.bool)
        seen.view(-1)[hit[hit >= 0]] = True
        return seen


def logit_gradients(
    grid: DifferentiableVoxelGrid, loss: Float[Tensor, ""]
) -> tuple[Float[Tensor, "X Y Z"], Float[Tensor, "M X Y Z"]]:
    """Gradients with the occupancy and the material logits.

    Those with the residuals at stride 1, which enter the logits as they are.
    """
    occupancy, material = torch.autograd.grad(loss, (grid.occupancy_residuals[0], grid.material_residuals[0]))
    return occupancy[0], material


def difference_errors(
    grid: DifferentiableVoxelGrid,
    view: View,
    temperatures: tuple[float, float],  # of occupancy and material
    directions: int,
    step: float,  # h, in logits
    rng: np.random.Generator,
) -> dict[str, float]:
    """Largest |g . d - (L(+h d) - L(-h d)) / 2h| over random directions d ~ N(0, 1), divided by |g|.

    For each kind of logits. Everything is drawn (threshold 0): where opacities under a threshold are
    drawn as nothing, a difference is zero while the derivative, on purpose, is that at zero.
    """

    def loss() -> Tensor:
        return view.loss(view.image(grid.field(*temperatures), 0.0))

    leaves = {"occupancy": grid.occupancy_residuals[0], "material": grid.material_residuals[0]}
    errors = {}
    for (name, leaf), gradient in zip(leaves.items(), logit_gradients(grid, loss()), strict=True):
        worst = 0.0
        for _ in range(directions):
            direction = torch.from_numpy(rng.standard_normal(tuple(leaf.shape)))
            derivative = (gradient * direction).sum().item()
            off = abs(derivative - _central_difference(leaf, direction, step, loss))
            worst = max(worst, off / max(gradient.norm().item(), torch.finfo(torch.float64).tiny))
        errors[name] = worst
    return errors


@torch.no_grad()
def _central_difference(leaf: Tensor, direction: Tensor, step: float, loss: Callable[[], Tensor]) -> float:
    """(L(leaf + h d) - L(leaf - h d)) / 2h; the leaf is as before afterwards."""
    start = leaf.clone()
    ends = []
    for sign in (1, -1):
        leaf.copy_(start + sign * step * direction)
        ends.append(loss().item())
    leaf.copy_(start)
    return (ends[0] - ends[1]) / (2 * step)


def block_errors(
    blocks: Integer[np.ndarray, "X Y Z"],
    solids: int,
    view: View,
    count: int,  # of blocks added, and as many removed
    rng: np.random.Generator,
) -> dict[str, float]:
    """Largest |predicted - actual| change of the image on really adding or removing a visible block.

    The image is linear in each single opacity. So along g = dL/dC, the push that the loss gives the
    image, <g, change of the image> must be the opacity's derivative, or minus it, exactly. Divided by
    the largest change among the blocks tried.
    """
    field = solid_field(blocks, solids, torch.float64)
    opacity = field.opacity.requires_grad_()
    drawn = render(*field, view.lit, view.rays, threshold=view.threshold, backend=view.backend)
    image = drawn.rgba[:, :3]
    push = 2 * (image.detach() - view.target[:, None, None])
    (derivative,) = torch.autograd.grad((image * push).sum(), opacity)
    candidates = {
        "added": (blocks == AIR) & (drawn.reach.numpy() > VISIBLE_REACH),
        "removed": view.visible(opacity).numpy(),
    }
    errors = {}
    for name, among in candidates.items():
        voxels = np.argwhere(among)
        voxels = voxels[rng.permutation(len(voxels))[:count]]
        changes = [_toggled(field, tuple(voxel), view) - image.detach() for voxel in voxels.tolist()]
        actual = np.array([(change * push).sum().item() for change in changes])
        sign = 1.0 if name == "added" else -1.0
        predicted = sign * derivative.numpy()[tuple(voxels.T)]
        largest = np.abs(actual).max(initial=0.0) or 1.0
        errors[name] = float(np.abs(predicted - actual).max(initial=0.0) / largest)
    return errors


@torch.no_grad()
def _toggled(field: Field, voxel: tuple[int, ...], view: View) -> Float[Tensor, "B 3 H W"]:
    """The image with one block more, or one less."""
    opacity = field.opacity.detach().clone()
    opacity[voxel] = 1.0 - opacity[voxel]
    return view.image(Field(opacity, field.material), view.threshold)
