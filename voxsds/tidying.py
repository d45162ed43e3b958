"""What the export would tidy, tidied in the grid itself, while the training can still answer.

Noise makes sure of single voxels that nothing holds, and of holes one voxel wide. Taken away only at the
export, they are seen in the trained grid and missing in the blocks.
"""

import numpy as np
import torch
from jaxtyping import Integer

from voxsds.cleanup import Settling, fill_holes, settle
from voxsds.edit import no_limits
from voxsds.grid import DifferentiableVoxelGrid
from voxsds.speckle import repaint_speckles

SETTLING = Settling(crumb_blocks=8, support_gap=3, stray_blocks=64)  # as the export's own


def tidy(grid: DifferentiableVoxelGrid, initial: Integer[np.ndarray, "X Y Z"]) -> int:
    """Settles new floating blocks, fills new holes, repaints new speckles; how many voxels that takes.

    `initial` are the map's blocks, to which nothing of this applies. What the grid holds stays.
    """
    blocks = grid.blocks()
    tidied, limits = blocks.copy(), no_limits(blocks.shape, len(grid.initial_material))
    settle(tidied, initial, SETTLING, limits)
    fill_holes(tidied, initial, limits)
    repaint_speckles(tidied, initial)
    cells = np.flatnonzero(tidied != blocks)
    device = grid.initial_occupancy.device
    grid.write(torch.as_tensor(cells, device=device), torch.as_tensor(tidied.flat[cells], device=device))
    return len(cells)
