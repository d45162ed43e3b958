"""Lone blocks of another material than all around them: what noise in the gradient leaves on surfaces."""

import numpy as np
from jaxtyping import Bool, Int, Integer

from voxsds.blocks.neighbours import free_faces
from voxsds.world.palette import AIR

Blocks = Integer[np.ndarray, "X Y Z"]
Mask = Bool[np.ndarray, "X Y Z"]
OTHERS = 4  # visible neighbours of one other material that it must have


def open_faces(blocks: Blocks) -> Bool[np.ndarray, "6 X Y Z"]:
    """The free faces of the blocks; the grid's bottom counts as covered, its sides and top as open."""
    around = np.pad(blocks != AIR, 1)
    around[:, 0] = True
    return free_faces(around)


def visible(blocks: Blocks) -> Mask:
    """Blocks with an open face."""
    return np.logical_or.reduce(open_faces(blocks), axis=0)


def neighbours(mask: Mask) -> Int[np.ndarray, "X Y Z"]:
    """Number of the 26 voxels around each that are in `mask`."""
    total = np.pad(mask, 1).astype(np.int64)
    for axis in range(3):
        total = np.roll(total, 1, axis) + total + np.roll(total, -1, axis)
    return total[1:-1, 1:-1, 1:-1] - mask


def speckle_share(blocks: Blocks) -> float:
    """Share of the visible blocks whose material is that of none of their neighbours in the same surface.

    These are the visible blocks among the 26 around that have a free face on the same side, as the tops
    of a meadow have; a block without any is no speckle. One sand block in a snow field of 5 x 5 is 1 / 25.
    A look at the surface as it is: unlike `speckles` it asks neither for a surrounding nor for a change.
    """
    faces = open_faces(blocks)
    alike = np.zeros(blocks.shape, dtype=np.int64)
    others = np.zeros_like(alike)
    for side in faces:
        around = neighbours(side)
        for material in np.unique(blocks[side]):
            own = side & (blocks == material)
            same = neighbours(own)
            alike += same * own
            others += (around - same) * own
    seen = faces.any(axis=0)
    return float((alike == 0)[seen & (others > 0)].sum() / max(1, seen.sum()))


def speckles(blocks: Blocks) -> tuple[Mask, Blocks]:
    """The visible blocks that stand alone in their material, and what their surroundings are made of.

    Of the 26 neighbours none is visible and of the same material, and at least four are of one other.
    """
    seen = visible(blocks)
    lone, around, most = seen.copy(), np.full_like(blocks, AIR), np.zeros(blocks.shape, dtype=np.int64)
    for material in np.unique(blocks[seen]):
        count = neighbours(seen & (blocks == material))
        lone &= (blocks != material) | (count == 0)
        around[count > most] = material
        most = np.maximum(most, count)
    return lone & (most >= OTHERS), around


def repaint_speckles(blocks: Blocks, initial: Blocks) -> int:
    """Gives lone blocks that the training made or repainted the material around them, in place.

    Returns how many. A single grass block in a snow field becomes snow; the input map's own blocks stay.
    """
    lone, around = speckles(blocks)
    lone &= blocks != initial
    blocks[lone] = around[lone]
    return int(lone.sum())
