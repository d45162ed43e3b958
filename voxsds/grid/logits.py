"""The world as numbers that an optimizer can move: logits of occupancy and of materials.

    logits = initial + sum over the levels k of upsample_k(residual_k)

with every residual zero at the start. A residual at stride k has one number for k x k x k voxels,
interpolated trilinearly between cell centres, so that a wall moves as one thing instead of block by
block. Tensors of materials are stored with the channel first, as the interpolation wants them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from voxsds.world.field import Field, is_large
from voxsds.world.palette import AIR

LEAST_SHARE = 0.005  # of a material that statistics name


@dataclass(frozen=True)
class GridSettings:
    """Initial logits of a world, and the strides of its residuals."""

    levels: tuple[int, ...] | None  # strides of the residuals; (1,) is a plain grid; None: see `levels_of`
    initial_logit: float  # of the occupancy: + in blocks, - in empty voxels
    initial_material_logit: float  # of a block's own material; the others have 0

    def __post_init__(self) -> None:
        """ValueError where the knobs make no grid."""
        levels = (1,) if self.levels is None else self.levels
        if not levels or levels[0] != 1 or list(levels) != sorted(set(levels)):
            raise ValueError(
                f"grid.levels is {list(levels)}; give rising strides that begin with 1, like [1, 2, 4]; "
                "null chooses them by the size of the world"
            )
        if self.initial_logit <= 0 or self.initial_material_logit <= 0:
            raise ValueError(
                f"grid.initial_logit is {self.initial_logit} and initial_material_logit "
                f"{self.initial_material_logit}; both must be positive, or the grid would not draw the map"
            )

    def levels_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides for a world of this size: where none are given 1, 2, 4, and 8, 16 from 64 voxels on.

        What stands in a world grows with it, and a part that moves as one thing has to grow as well.
        """
        if self.levels is not None:
            return self.levels
        return (1, 2, 4, 8, 16) if is_large(shape) else (1, 2, 4)


def upsample(
    residual: Float[Tensor, "channels x y z"], stride: int, shape: tuple[int, int, int]
) -> Float[Tensor, "channels X Y Z"]:
    """`residual` at every voxel: cell i covers voxels [i stride, (i + 1) stride), linear between centres.

    Stride 2 along one axis: (0, 4) becomes (0, 1, 3, 4).
    """
    if stride == 1:
        return residual
    fine = F.interpolate(residual[None], scale_factor=stride, mode="trilinear", align_corners=False)[0]
    return fine[:, : shape[0], : shape[1], : shape[2]]


class DifferentiableVoxelGrid(nn.Module):
    """A block world whose blocks come and go, and change material, by gradient.

    What is drawn and what is exported agree: with sigma the logistic function and
    p = softmax(material / t_m) over all materials including air,

        opacity  = sigma(occupancy / t_o) (1 - p_air)
        material = p over the solid materials, renormalised

    while a block is exported where sigma(occupancy) > 0.5 and the likeliest material is not air.
    """

    initial_occupancy: Tensor
    initial_material: Tensor
    free: Tensor | None

    def __init__(
        self,
        initial_occupancy: Float[Tensor, "X Y Z"],
        initial_material: Float[Tensor, "M X Y Z"],  # M counts air
        levels: Sequence[int],
    ):
        super().__init__()
        self.levels = tuple(levels)
        self.register_buffer("initial_occupancy", initial_occupancy)
        self.register_buffer("initial_material", initial_material)
        self.register_buffer("free", None)  # voxels that may change; None: all
        coarse = [[-(-side // k) for side in initial_occupancy.shape] for k in self.levels]
        like: dict[str, Any] = {"dtype": initial_occupancy.dtype, "device": initial_occupancy.device}
        self.occupancy_residuals = nn.ParameterList([torch.zeros(1, *size, **like) for size in coarse])
        self.material_residuals = nn.ParameterList(
            [torch.zeros(len(initial_material), *size, **like) for size in coarse]
        )

    @classmethod
    def from_blocks(
        cls,
        blocks: Integer[np.ndarray, "X Y Z"],  # material index, 0 = air
        materials: int,  # how many there are, air counted
        settings: GridSettings,
        dtype: torch.dtype = torch.float32,
    ) -> "DifferentiableVoxelGrid":
        """The grid that draws `blocks`; empty voxels favour no material."""
        ids = torch.as_tensor(np.ascontiguousarray(blocks), dtype=torch.int64)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < materials:
            raise ValueError(f"blocks hold materials {int(ids.min())}..{int(ids.max())} of {materials}")
        solid = ids != AIR
        occupancy = torch.where(solid, settings.initial_logit, -settings.initial_logit).to(dtype)
        own = F.one_hot(ids, materials).permute(3, 0, 1, 2) * solid
        material = own.to(dtype).contiguous() * settings.initial_material_logit
        return cls(occupancy, material, settings.levels_of(ids.shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.initial_occupancy.shape
        return x, y, z

    def hold(self, free: Bool[Tensor, "X Y Z"]) -> None:
        """Fixes all other voxels at their initial logits: residuals neither move them nor learn from them."""
        self.free = free.to(self.initial_occupancy.device)

    def by_stride(self) -> list[dict[str, Any]]:
        """The residuals as an optimizer takes groups of parameters, each with its `stride`."""
        residuals = zip(self.levels, self.occupancy_residuals, self.material_residuals, strict=True)
        return [
            {"params": [occupancy, material], "stride": stride} for stride, occupancy, material in residuals
        ]

    @property
    def occupancy_logits(self) -> Float[Tensor, "X Y Z"]:
        """Over zero where a block is more likely than none."""
        return self._sum(self.initial_occupancy[None], self.occupancy_residuals)[0]

    @property
    def material_logits(self) -> Float[Tensor, "X Y Z M"]:
        """Index 0 is air: no block after all."""
        return self._material_channels().permute(1, 2, 3, 0)

    def _material_channels(self) -> Float[Tensor, "M X Y Z"]:
        return self._sum(self.initial_material, self.material_residuals)

    def _sum(self, initial: Tensor, residuals: nn.ParameterList) -> Tensor:
        logits = initial
        for stride, residual in zip(self.levels, residuals, strict=True):
            logits = logits + upsample(residual, stride, self.shape)
        return logits if self.free is None else torch.where(self.free, logits, initial)

    def field(self, occupancy_temperature: float, material_temperature: float) -> Field:
        """Opacity and materials as the renderer draws them, differentiable in all residuals.

        1 - p_air is taken as sigma(logsumexp(solid logits) - air logit), which cannot round to a
        division of zero by zero however sure of air the grid is.
        """
        logits = self._material_channels() / material_temperature
        air, solid = logits[AIR], logits[AIR + 1 :]
        some_block = torch.sigmoid(torch.logsumexp(solid, dim=0) - air)
        opacity = torch.sigmoid(self.occupancy_logits / occupancy_temperature) * some_block
        material = torch.softmax(solid, dim=0).permute(1, 2, 3, 0).contiguous()
        return Field(opacity, material)

    @torch.no_grad()
    def blocks(self, threshold: float = 0.5) -> Integer[np.ndarray, "X Y Z"]:
        """The plain blocks: material ids where sigma(occupancy) > threshold, 0 (air) elsewhere."""
        likeliest = self._material_channels().argmax(dim=0)
        occupied = torch.sigmoid(self.occupancy_logits) > threshold
        return torch.where(occupied, likeliest, AIR).cpu().numpy()

    @torch.no_grad()
    def write(self, cells: Int[Tensor, " n"], blocks: Int[Tensor, " n"]) -> None:
        """Makes the voxels at these flat indices blocks of these ids (0: none), as sure as the map's own.

        A voxel that becomes empty keeps its materials; what is forbidden stays so, and what is held as it is.
        """
        if self.free is not None:
            cells, blocks = cells[(free := self.free.flatten()[cells])], blocks[free]
        sure = self.initial_occupancy.abs().max()
        occupancy = torch.where(blocks == AIR, -sure, sure)
        now = self._material_channels().flatten(1)[:, cells]
        own = F.one_hot(blocks, len(now)).T.bool()
        material = torch.where(own, self.initial_material.max().clamp(min=1), now.clamp(max=0))
        residual, by_material = self.occupancy_residuals[0].flatten(1), self.material_residuals[0].flatten(1)
        residual[0, cells] += occupancy - self.occupancy_logits.flatten()[cells]
        by_material[:, cells] += torch.where(blocks == AIR, 0, material - now)

    @torch.no_grad()
    def statistics(self, names: Sequence[str]) -> dict[str, Any]:
        """`grid_stats` of the log. `density` is the share of voxels that would be exported as blocks;
        `material_distribution` the mean softmax over the occupied voxels, by the materials' `names`, of
        those that have `LEAST_SHARE` of it."""
        occupancy = torch.sigmoid(self.occupancy_logits)
        materials = self._material_channels()
        occupied = occupancy > 0.5
        active = int((occupied & (materials.argmax(dim=0) != AIR)).sum())
        inside = torch.softmax(materials, dim=0).flatten(1) @ occupied.flatten().to(materials)
        shares = inside / occupied.sum().clamp(min=1)
        found = zip(names, shares.tolist(), strict=True)
        return {
            "num_active_voxels": active,
            "occupancy_mean": occupancy.mean().item(),
            "occupancy_std": occupancy.std(correction=0).item(),
            "density": active / occupancy.numel(),
            "material_distribution": {n: s for n, s in found if s >= LEAST_SHARE},
        }

    def logit_gradients(self) -> tuple[Float[Tensor, "X Y Z"], Float[Tensor, "M X Y Z"]]:
        """Gradients of the last backward towards the occupancy and the material logits themselves.

        Those of the residuals at stride 1, which enter the logits as they are.
        """
        occupancy, material = self.occupancy_residuals[0].grad, self.material_residuals[0].grad
        if occupancy is None or material is None:
            raise ValueError(
                "the grid has no gradients yet: call backward() on something drawn from it first"
            )
        return occupancy[0], material
