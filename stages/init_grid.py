"""Stage init_grid: the logits that draw the input map, and what the first views see of them."""

from pathlib import Path
from typing import Any

import torch

from stages.running import run_stage
from voxsds.files.disk import write_image
from voxsds.files.outputs import Outputs
from voxsds.files.params import read_section
from voxsds.grid.file import GridFile, write_grid
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw
from voxsds.world.datasets import TEST_VIEWS, read_dataset
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette


def main(params: dict[str, Any]) -> None:
    """Writes the grid of logits, and the first images."""
    out = Outputs()
    settings = read_section(params, "grid", GridSettings)
    world = read_map(Path(f"maps/{params['map_id']}/map.json"), read_palette(params["palette"]))
    cameras = read_dataset(Path(f"datasets/{params['map_id']}")).cameras[:TEST_VIEWS]
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings)
    reach = torch.zeros_like(grid.initial_occupancy)
    write_grid(out.grid, GridFile(grid, world.palette, world.frame, reach))
    images = draw(world, cameras)
    for view, image in enumerate(images):
        write_image(out.first_images / f"view_{view}.png", image.permute(1, 2, 0).numpy())
    print(f"grid of {grid.shape}, {(world.blocks > 0).sum()} blocks, levels {list(grid.levels)}")


if __name__ == "__main__":
    run_stage("init_grid", main)
