"""Tidying of a grid in training: what floats, pits and lone blocks go, as at the export."""

import numpy as np
import pytest
import torch

from teacher.worlds.materials import ENGINE, SNOW, STONE
from tests.helpers.edit import house_on_grass
from voxsds.blocks.tidy import WHOLE
from voxsds.export.harden import ExportSettings
from voxsds.files.params import read_params, read_section
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.train.restraint import tidy_grid
from voxsds.world.palette import AIR

COLUMN = (12, 12)  # x and z of a place on the grass


def surface(blocks: np.ndarray, x: int, z: int) -> int:
    """The y of the highest block of a column."""
    return int(np.flatnonzero(blocks[x, :, z])[-1])


def grid_of(blocks: np.ndarray) -> DifferentiableVoxelGrid:
    return DifferentiableVoxelGrid.from_blocks(blocks, len(ENGINE), GridSettings((1, 2, 4), 3.0, 4.0))


def put(grid: DifferentiableVoxelGrid, x: int, y: int, z: int, block: int) -> None:
    cell = np.ravel_multi_index((x, y, z), grid.shape)
    grid.write(torch.tensor([cell]), torch.tensor([block]))


@pytest.mark.parametrize("up, block", [(6, STONE), (0, AIR), (0, SNOW)], ids=["afloat", "a pit", "lone"])
def test_what_the_training_spoilt_is_as_before(up, block):
    world = house_on_grass()
    grid, (x, z) = grid_of(world), COLUMN
    put(grid, x, surface(world, x, z) + up, z, block)
    assert (grid.blocks() != world).sum() == 1
    assert tidy_grid(grid, world) == 1
    np.testing.assert_array_equal(grid.blocks(), world)
    assert tidy_grid(grid, world) == 0


def test_what_the_map_has_stays():
    world = house_on_grass()
    x, z = COLUMN
    y = surface(world, x, z)
    world[x, y + 6, z], world[x + 3, surface(world, x + 3, z), z] = STONE, AIR
    grid = grid_of(world)
    assert tidy_grid(grid, world) == 0


def test_a_grid_is_tidied_as_the_export_tidies_its_blocks():
    assert read_section(read_params("params.yaml"), "export", ExportSettings).tidying == WHOLE
