"""Score distillation with the tiny teacher, in fifteen lines.

    python -m examples.distil              writes out_local/examples/distilled.png

Twenty steps are a start: the grass turns to snow. The tower takes the 250 of the pipeline.
"""

from dataclasses import replace
from pathlib import Path

from stages.recipe import read_recipe
from voxsds.files.disk import write_image
from voxsds.files.params import read_params
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import load_teacher
from voxsds.train.training import Scene, Training, train
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette

PROMPT = "a stone tower on snowy hills"


def main() -> None:
    recipe = read_recipe(read_params("params.yaml"))
    recipe = replace(recipe, train=replace(recipe.train, steps=20, views=2, probe_every=20))
    world = read_map(Path("maps/1/map.json"), read_palette("engine"))
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), GridSettings(None, 3.0, 4.0))
    teacher = load_teacher(recipe.teacher, Path("out_local/ckpt/prompts"), texts=[PROMPT])
    scene = Scene(world.palette, world.frame, read_dataset("datasets/1").cameras)
    training = Training(grid, scene, teacher, teacher.read(PROMPT, None), recipe)
    for record in train(training):
        if record.probe:
            print(f"step {record.step}: the prompt helps by {record.probe['margin']:+.4f}")
    picture = training.pictures(1)[0].permute(1, 2, 0).numpy()
    write_image(Path("out_local/examples/distilled.png"), picture)


if __name__ == "__main__":
    main()
