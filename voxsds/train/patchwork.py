"""The limit of the patchwork penalty: in no voxel louder than what else is said there.

As a plain part of the loss the penalty wins where the teacher's gradient fades because the goal is near, and
borders between materials that were right are lost (docs/decisions/0002-methods-and-penalties.md).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.guidance.sds import surrogate_loss

MEMORY = 0.9  # of the mean of what was said, from step to step
TINY = 1e-30


class PatchworkLimit:
    """Shortens the penalty's gradient towards the material logits of `grid`, by what it heard before.

    With a limit under 1 a teacher whose steps agree has the last word, however soft it speaks near its goal;
    one whose steps do not is outvoted by the neighbours.
    """

    said: Float[Tensor, "X Y Z"]  # mean square of all else towards a voxel's material logits; 0: never heard
    patched: (
        Float[Tensor, "M X Y Z"] | None
    )  # the penalty's part in the gradient of this step; None: not limited

    def __init__(self, grid: DifferentiableVoxelGrid, limit: float | None):
        self.grid, self.limit = grid, limit  # limit: of the root of `said`; None: no limit
        self.said, self.patched = torch.zeros_like(grid.initial_occupancy), None

    def limited(self, penalty: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A number of the value of `penalty`, whose gradient is as long as the limit allows at most."""
        self.patched = None
        if self.limit is None or not penalty.requires_grad:  # a penalty of weight zero is a constant
            return penalty
        (by_logit,) = torch.autograd.grad(penalty, self.grid.material_residuals[0], retain_graph=True)
        loudness = by_logit.norm(dim=0).clamp(min=TINY)
        self.patched = shortened = by_logit * (self.limit * self.said.sqrt() / loudness).clamp(max=1)
        pull = surrogate_loss(self.grid.material_logits, shortened.permute(1, 2, 3, 0))
        return penalty.detach() + pull - pull.detach()

    @torch.no_grad()
    def listen(self, seen: Bool[Tensor, "X Y Z"]) -> None:
        """Keeps how loud the last backward was in the voxels `seen` without the penalty, for later steps."""
        if self.patched is None:
            return
        _, total = self.grid.logit_gradients()
        square = (total - self.patched).square().sum(dim=0)
        mean = torch.where(self.said == 0, square, torch.lerp(square, self.said, MEMORY))
        self.said = torch.where(seen, mean, self.said)
