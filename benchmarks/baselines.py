"""What a result has to be better than: a random edit, and blocks chosen by colours that were free."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from voxsds.blocks.counts import EditCounts
from voxsds.blocks.surface import neighbours, visible
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.world.field import Field
from voxsds.world.palette import AIR, SIDE, TOP, Palette

Blocks = Integer[np.ndarray, "X Y Z"]
# A free colour is a mixture of these, which the renderer lights and mixes as it does materials. They are not
# full bright, since lit colours end at 1 and the brightest light is 1.22: c times the light is c / 0.8 times
# that of a primary.
PRIMARY = 0.8
PRIMARIES = Palette(
    ("Air", "Red", "Green", "Blue"), PRIMARY * np.repeat(np.eye(4, 3, -1), 3, axis=0).reshape(4, 3, 3)
)


def random_edit(before: Blocks, edit: EditCounts, materials: int, rng: np.random.Generator) -> Blocks:
    """As many blocks removed, repainted and added as by `edit`, at random places on the surface.

    Where the surface has too few, the places inside, or away from it, follow. Materials are drawn evenly.
    """
    after, solid = before.copy(), before != AIR
    blocks = _in_random_order(solid, visible(before), rng)
    gone, painted = np.split(blocks[: edit.removed + edit.repainted], [edit.removed])
    after.flat[gone] = AIR
    # A step of 1 .. solids - 1 around the circle of materials never leads back to the same one.
    steps = rng.integers(1, materials - 1, len(painted))
    after.flat[painted] = (before.flat[painted] - 1 + steps) % (materials - 1) + 1
    free = _in_random_order(~solid, neighbours(solid) > 0, rng)[: edit.added]
    after.flat[free] = rng.integers(1, materials, len(free))
    return after


def _in_random_order(
    among: np.ndarray, first: np.ndarray, rng: np.random.Generator
) -> Integer[np.ndarray, " n"]:
    """Flat indices of `among` in random order, those that are in `first` too before the others."""
    parts = [np.flatnonzero(among & first), np.flatnonzero(among & ~first)]
    return np.concatenate([rng.permutation(part) for part in parts])


class FreeColourGrid(DifferentiableVoxelGrid):
    """A grid whose voxels have a colour of their own; its blocks are of the nearest material.

    Three channels of logits, the colour being their logistic function; drawn with the palette `PRIMARIES`.
    """

    def __init__(
        self,
        initial_occupancy: Float[Tensor, "X Y Z"],
        initial_colour: Float[Tensor, "3 X Y Z"],  # logits
        levels: Sequence[int],
        palette: Palette,
    ):
        super().__init__(initial_occupancy, initial_colour, levels)
        self.register_buffer("colours", torch.as_tensor(plain_colours(palette)[1:], dtype=torch.float32))

    @classmethod
    def from_world(cls, blocks: Blocks, palette: Palette, settings: GridSettings) -> "FreeColourGrid":
        """The grid that draws `blocks` in the colours of their materials; empty voxels are grey."""
        solid = blocks != AIR
        colours = np.where(solid[..., None], plain_colours(palette)[blocks], 0.5).clip(0.02, 0.98)
        occupancy = np.where(solid, settings.initial_logit, -settings.initial_logit)
        logits = np.moveaxis(np.log(colours / (1 - colours)), -1, 0)
        occupancy, logits = (
            torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32) for a in (occupancy, logits)
        )
        return cls(occupancy, logits, settings.levels_of(blocks.shape), palette)

    def _colour(self) -> Float[Tensor, "X Y Z 3"]:
        return torch.sigmoid(self.material_logits)

    def field(self, occupancy_temperature: float, material_temperature: float) -> Field:
        """Opacities and colours; there is no choice to make between materials, so no temperature either."""
        del material_temperature
        opacity = torch.sigmoid(self.occupancy_logits / occupancy_temperature)
        return Field(opacity, (self._colour() / PRIMARY).contiguous())

    @torch.no_grad()
    def blocks(self, threshold: float = 0.5) -> Blocks:
        """The blocks, each of the material whose colour is nearest."""
        distance = torch.cdist(self._colour().reshape(-1, 3), self.get_buffer("colours"))
        nearest = distance.argmin(dim=1).reshape(self.shape) + 1
        occupied = torch.sigmoid(self.occupancy_logits) > threshold
        return torch.where(occupied, nearest, AIR).cpu().numpy()

    @torch.no_grad()
    def statistics(self, names: Sequence[str]) -> dict[str, Any]:
        """Those of the occupancy; the materials are not chosen yet."""
        occupancy = torch.sigmoid(self.occupancy_logits)
        active = int((occupancy > 0.5).sum())
        return {
            "num_active_voxels": active,
            "occupancy_mean": occupancy.mean().item(),
            "occupancy_std": occupancy.std(correction=0).item(),
            "density": active / occupancy.numel(),
            "material_distribution": {},
        }


def plain_colours(palette: Palette) -> Float[np.ndarray, "materials 3"]:
    """One albedo a material, the mean of its top and its side."""
    return palette.albedo[:, [TOP, SIDE]].mean(axis=1)
