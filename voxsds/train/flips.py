"""The last phase of a run: plain blocks, single flips of which are judged by the exact gradient.

A flip adds a block, removes one, or makes one of another material. The picture is linear in the opacity and
in the shares of materials of any one voxel, so the derivative of the loss at plain blocks, 0 and 1, is that
along the whole way of a flip. Where the loss is a square of the picture, as that of score distillation is
as long as the teacher stays with what it wants to see,

    loss after - loss before = (slope before + slope after) / 2,

slopes along the way of the flip: the trapezoidal rule. So a flip is tried where the slope is surely negative,
and kept where going promised more than going back does. The slopes are means over a window of steps, whose
views and noises differ; surely means more than `BOUND` standard errors of that mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.train.restraint import FORBIDDEN
from voxsds.world.field import Field
from voxsds.world.palette import AIR

WINDOW = 10  # steps
BOUND = 3.0  # standard errors
BUDGET = 200  # flips tried at once
TIE = 1e-3  # weight of what is around against the logits of an empty voxel


@dataclass(frozen=True, eq=False)
class Flips:
    """Cells and what becomes of them: 0 for a block or none in exchange, m > 0 for solid material m - 1."""

    cells: Int[Tensor, " n"]  # flat indices
    kinds: Int[Tensor, " n"]


class HardPhase:
    """The blocks of `grid`, tried flips among them, and what was seen of them since."""

    def __init__(self, grid: DifferentiableVoxelGrid, lit: Float[Tensor, "S 6 3"]):
        colours = lit.flatten(1)
        self.grid, self.distance = grid, torch.cdist(colours, colours)
        self.state: dict[str, Any] = {}  # all that changes but the grid; empty before the phase

    def begin(self) -> None:
        """Every voxel becomes a block or none, surely; nothing was seen yet."""
        blocks = torch.as_tensor(self.grid.blocks(), device=self.distance.device)
        self.grid.write(torch.arange(blocks.numel(), device=blocks.device), blocks.flatten())
        slopes = self.grid.initial_occupancy.new_zeros((*self.grid.shape, len(self.distance) + 1))
        nothing = torch.zeros(0, dtype=torch.int64, device=blocks.device)
        self.state = {
            "steps": 0,
            "total": slopes,  # of this window
            "squares": slopes.clone(),
            "cells": nothing,  # on trial
            "kinds": nothing,
            "before": nothing,  # what was there, block ids
            "promised": slopes.new_zeros(0),  # slopes when they were chosen
            "barred": slopes > 0,  # flips that were tried, or would undo one
        }

    def field(self) -> Field:
        """The plain blocks, as leaves that take gradients; an empty voxel is of what it would be made of."""
        solid, material = self._world()
        opacity = solid.to(self.distance)
        shares = F.one_hot(material, len(self.distance)).to(opacity)
        return Field(opacity.requires_grad_(), shares.requires_grad_())

    @torch.no_grad()
    def learn(self, by_opacity: Tensor, by_material: Tensor, last: bool) -> None:
        """A step's gradients towards `field()`. At the end of a window flips are judged and, but in the
        `last`, others tried."""
        state = self.state
        found = slopes(by_opacity, by_material.movedim(0, -1), *self._world())
        state["steps"] += 1
        state["total"] += found
        state["squares"] += found.square()
        if state["steps"] < WINDOW:
            return
        mean = state["total"] / WINDOW
        error = ((state["squares"] / WINDOW - mean.square()).clamp(min=0) / (WINDOW - 1)).sqrt()
        undone = self._judge(mean)
        if not last:
            self._try(mean, error, self._allowed(undone))
        state["steps"] = 0
        state["total"].zero_()
        state["squares"].zero_()

    def _judge(self, mean: Float[Tensor, "X Y Z K"]) -> Int[Tensor, " n"]:
        """Takes back the flips on trial that promised less than going back does; returns their cells."""
        state = self.state
        cells, kinds, before = state["cells"], state["kinds"], state["before"]
        back = torch.where(kinds == 0, 0, before)  # block id m is solid material m - 1, kind m
        table = mean.flatten(0, 2)
        bad = state["promised"] >= table[cells, back]
        self.grid.write(cells[bad], before[bad])
        barred = state["barred"].flatten(0, 2)
        barred[cells, kinds] = True
        barred[cells[~bad], back[~bad]] = True
        state["cells"], state["kinds"], state["before"] = cells[:0], kinds[:0], before[:0]
        state["promised"] = state["promised"][:0]
        return cells[bad]

    def _allowed(self, undone: Int[Tensor, " n"]) -> Bool[Tensor, "X Y Z K"]:
        """What may be tried: nothing beside what was just undone, whose slopes are those of another world,
        nothing that the limits of the edit forbid, and no block in mid-air, which export would take away."""
        near = torch.zeros(self.grid.shape, device=self.distance.device)
        near.view(-1)[undone] = 1
        near = F.max_pool3d(near[None], 3, stride=1, padding=1)[0] > 0
        free = ~near if self.grid.free is None else ~near & self.grid.free
        known = self.grid.material_logits[..., AIR + 1 :] > FORBIDDEN / 2
        held = _beside(self._world()[0])
        kinds = torch.cat([(free & held)[..., None], free[..., None] & known], dim=-1)
        return kinds & ~self.state["barred"]

    def _try(self, mean: Tensor, error: Tensor, allowed: Bool[Tensor, "X Y Z K"]) -> None:
        """Makes the surest flips."""
        solid, material = self._world()
        flips = chosen(mean, error, self.distance, material, allowed)
        cells, kinds = flips.cells, flips.kinds
        ids = torch.where(solid, material + 1, AIR).flatten()[cells]
        made_of = material.flatten()[cells] + 1
        after = torch.where(kinds > 0, kinds, torch.where(ids == AIR, made_of, AIR))
        self.state |= {"cells": cells, "kinds": kinds, "before": ids}
        self.state["promised"] = mean.flatten(0, 2)[cells, kinds]
        self.grid.write(cells, after)

    @torch.no_grad()
    def _world(self) -> tuple[Bool[Tensor, "X Y Z"], Int[Tensor, "X Y Z"]]:
        """Which voxels are blocks, and of which solid material each is or, if empty, would be: the likeliest;
        where none is, that of most blocks around."""
        logits = self.grid.material_logits
        solid = (self.grid.occupancy_logits > 0) & (logits.argmax(dim=-1) != AIR)
        likeliest = logits[..., AIR + 1 :]
        blocks = F.one_hot(likeliest.argmax(dim=-1), likeliest.shape[-1]) * solid[..., None]
        votes = F.avg_pool3d(blocks.movedim(-1, 0).to(likeliest), 3, stride=1, padding=1).movedim(0, -1)
        return solid, (likeliest + torch.where(solid[..., None], 0, TIE * votes)).argmax(dim=-1)


def _beside(solid: Bool[Tensor, "X Y Z"]) -> Bool[Tensor, "X Y Z"]:
    """The blocks, and the voxels at their faces."""
    held = solid.clone()
    for axis in range(3):
        size = solid.shape[axis] - 1
        held.narrow(axis, 0, size).logical_or_(solid.narrow(axis, 1, size))
        held.narrow(axis, 1, size).logical_or_(solid.narrow(axis, 0, size))
    return held


def slopes(
    by_opacity: Float[Tensor, "X Y Z"],  # of the loss, at plain blocks
    by_material: Float[Tensor, "X Y Z S"],
    solid: Bool[Tensor, "X Y Z"],
    material: Int[Tensor, "X Y Z"],  # index among the solids
) -> Float[Tensor, "X Y Z K"]:
    """Change of the loss along every flip, K = 1 + S; 0 for a repainting that changes nothing.

    Of a block, what removing it does is -dL/da; of an empty voxel, what adding one does is dL/da.
    """
    existence = torch.where(solid, -by_opacity, by_opacity)
    own = by_material.gather(-1, material[..., None])
    return torch.cat([existence[..., None], (by_material - own) * solid[..., None]], dim=-1)


def chosen(
    mean: Float[Tensor, "X Y Z K"],
    error: Float[Tensor, "X Y Z K"],
    distance: Float[Tensor, "S S"],  # between the materials' colours
    material: Int[Tensor, "X Y Z"],
    allowed: Bool[Tensor, "X Y Z K"],
) -> Flips:
    """The surest gains, one a cell and none beside another, at most `BUDGET`.

    Of the materials that lower the loss a cell is offered the one that does so most for the change of its
    colour: the slope alone would choose the most extreme one, however little was asked for.
    """
    sure = allowed & (mean < -BOUND * error)
    gain = torch.where(sure, -mean, 0)
    apart = torch.cat([torch.ones_like(gain[..., :1]), distance[material].clamp(min=1e-6)], dim=-1)
    kinds = (gain / apart)[..., 1:].argmax(dim=-1) + 1
    repainting = gain.gather(-1, kinds[..., None])[..., 0]
    kinds = torch.where(gain[..., 0] > repainting, 0, kinds)
    return _apart(gain.gather(-1, kinds[..., None])[..., 0].cpu().numpy(), kinds)


def _apart(gain: Float[np.ndarray, "X Y Z"], kinds: Int[Tensor, "X Y Z"]) -> Flips:
    """The largest gains first, none among the 26 around one that was taken."""
    taken, free = [], np.pad(gain > 0, 1)
    for flat in np.argsort(-gain, axis=None, kind="stable")[: np.count_nonzero(gain)]:
        x, y, z = np.unravel_index(flat, gain.shape)
        if free[x + 1, y + 1, z + 1]:
            free[x : x + 3, y : y + 3, z : z + 3] = False
            taken.append(int(flat))
        if len(taken) == BUDGET:
            break
    cells = torch.tensor(taken, dtype=torch.int64, device=kinds.device)
    return Flips(cells, kinds.flatten()[cells])
