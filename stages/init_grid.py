"""Stage init_grid: the logits that draw the input map, and what the first views see of them."""

import argparse
import sys
from pathlib import Path

import torch

from voxsds.files.disk import write_image
from voxsds.files.params import read_params, read_section
from voxsds.grid.file import GridFile, write_grid
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw_blocks
from voxsds.world.datasets import TEST_VIEWS, read_dataset
from voxsds.world.maps import read_map

OUT = Path("out_local")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    params = read_params(parser.parse_args().params)
    settings = read_section(params, "grid", GridSettings)
    world = read_map(Path(f"maps/{params['map_id']}/map.json"))
    cameras = read_dataset(Path(f"datasets/{params['map_id']}")).cameras[:TEST_VIEWS]
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings)
    reach = torch.zeros_like(grid.initial_occupancy)
    write_grid(OUT / "grid", GridFile(grid, world.palette, world.frame, reach))
    images = draw_blocks(world.blocks, world.palette, world.frame, cameras)
    for view, image in enumerate(images):
        write_image(OUT / "init_imgs" / f"view_{view}.png", image.permute(1, 2, 0).numpy())
    print(f"grid of {grid.shape}, {(world.blocks > 0).sum()} blocks, levels {list(grid.levels)}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"init_grid: {error}")
