"""Choice of the changes to keep where only so many blocks may change."""

import heapq

import numpy as np
import torch
from jaxtyping import Float, Integer

from voxsds.blocks.neighbours import beside, grown
from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.world.palette import AIR

Blocks = Integer[np.ndarray, "X Y Z"]


@torch.no_grad()
def importance(
    grid: DifferentiableVoxelGrid,
    reach: Float[torch.Tensor, "X Y Z"],  # best transmittance with which any ray of the run arrived
    blocks: Blocks,
    initial: Blocks,
) -> Float[np.ndarray, "X Y Z"]:
    """Importance of each change: how well it is seen times how clearly the training decided it.

    The decision is a difference of logits: of a block against none where one came or went, of the new
    material against the old where one was repainted. What nobody sees, or what could as well have come
    out the other way, is missed least.
    """
    occupancy, material = grid.occupancy_logits.cpu(), grid.material_logits.cpu()
    new, old = (torch.as_tensor(world)[..., None] for world in (blocks, initial))
    repainted = (material.gather(-1, new) - material.gather(-1, old))[..., 0]
    both = torch.as_tensor((blocks != AIR) & (initial != AIR))
    margin = torch.where(both, repainted, occupancy.abs()).clamp(min=0)
    return (reach.cpu() * margin).numpy()


def within_budget(
    blocks: Blocks,
    initial: Blocks,
    worth: Float[np.ndarray, "X Y Z"],  # how much each change matters
    most: int,
) -> Blocks:
    """`initial` with the `most` changes of `blocks` that matter most.

    A block is built only once something is there to hold it: a neighbour at a face, or the lowest layer.
    So a tower grows from its foot and stops where the budget ends, instead of losing blocks all over.
    """
    out, built = initial.copy(), (initial == AIR) & (blocks != AIR)
    holding = grown(initial != AIR)
    for world in (initial, blocks):  # whose lowest layers need not be the same
        holding[:, np.flatnonzero((world != AIR).any(axis=(0, 2)))[:1]] = True
    ready = (blocks != initial) & (~built | holding)
    queue = [(-worth[x, y, z], (x, y, z)) for x, y, z in np.argwhere(ready).tolist()]
    heapq.heapify(queue)
    waiting = built & ~ready
    while queue and most > 0:
        _, at = heapq.heappop(queue)
        out[at] = blocks[at]
        most -= 1
        for near in beside(at, blocks.shape) if built[at] else ():
            if waiting[near]:
                waiting[near] = False
                heapq.heappush(queue, (-worth[near], near))
    return out
