"""Turn one known world into another by a teacher that is right about every picture.

    python -m examples.fit_by_oracle       writes out_local/examples/fitted.png: start, result, goal

The oracle is the ideal denoiser of views of the goal, in closed form: no weights are needed. What cannot be
reached with it will not be reached with a diffusion model.
"""

from dataclasses import replace
from pathlib import Path

import torch

from stages.recipe import read_recipe
from voxsds.files.disk import write_image
from voxsds.files.params import read_params
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.oracle import OracleTeacher
from voxsds.render.draw import draw, psnr
from voxsds.render.light import lit_faces
from voxsds.train.training import Scene, Training, train
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map, with_blocks
from voxsds.world.palette import read_palette

STEPS, PIXELS = 60, 64


def main() -> None:
    world = read_map(Path("maps/1/map.json"), read_palette("engine"))
    goal = world.blocks.copy()
    goal[12:20, :18, 12:20] = world.palette.index("Stone")  # a tower on the hill

    recipe = read_recipe(read_params("params.yaml"))
    ask = replace(recipe.teacher.ask, guidance_scale=1.0, guidance_end=None, resolution=PIXELS)
    recipe = replace(
        recipe,
        lr=0.1,
        teacher=replace(recipe.teacher, ask=ask),
        train=replace(recipe.train, steps=STEPS, patchwork_limit=0.8),
    )

    lit = lit_faces(world.palette).float()
    teacher = OracleTeacher({"": [world.blocks], "a tower": [goal]}, lit, PIXELS)
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), GridSettings(None, 3.0, 4.0))
    scene = Scene(world.palette, world.frame, read_dataset("datasets/1").cameras)
    for _ in train(Training(grid, scene, teacher, teacher.read("a tower", None), recipe)):
        pass

    start, got, wanted = (
        draw(with_blocks(world, blocks), scene.cameras[:1])[0]
        for blocks in (world.blocks, grid.blocks(), goal)
    )
    print(
        f"{STEPS} steps: from {psnr(start, wanted):.1f} to {psnr(got, wanted):.1f} dB of the goal's picture"
    )
    strip = torch.cat([start, got, wanted], dim=-1).permute(1, 2, 0).numpy()
    write_image(Path("out_local/examples/fitted.png"), strip)


if __name__ == "__main__":
    main()
