"""A training as the stage would make it from params.yaml, on a world of the benchmark's choice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.recipe import read_recipe
from voxsds.files.params import read_section
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import load_teacher
from voxsds.train.processes import Ranks, own_device
from voxsds.train.recipe import Recipe
from voxsds.train.training import Scene, Training
from voxsds.world.cameras import Camera
from voxsds.world.maps import BlockMap

NEVER = 10**9  # steps


def plain_recipe(params: dict[str, Any], steps: int, views: int | None = None) -> Recipe:
    """That of `params` for so many steps, with a probe at the first and the last one only."""
    recipe = read_recipe(params)
    changed = replace(
        recipe.train, steps=steps, probe_every=NEVER, **({"views": views} if views is not None else {})
    )
    return replace(recipe, train=changed)


def prepared(
    params: dict[str, Any], recipe: Recipe, world: BlockMap, cameras: Sequence[Camera], ranks: Ranks
) -> Training:
    """Everything loaded and on its device; prompts are encoded once and kept where the stage keeps them."""
    device = own_device()
    with ranks.first_alone():
        cache, prompt = Path("out_local/ckpt/prompts"), params["prompt"]
        teacher = load_teacher(recipe.teacher, cache, device, [prompt])
        question = teacher.read(prompt, recipe.teacher.ask.negative_prompt)
    settings = read_section(params, "grid", GridSettings)
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings).to(device)
    return Training(grid, Scene(world.palette, world.frame, cameras), teacher, question, recipe, ranks)
