"""python -m tests.helpers.many_materials FOLDER: a palette of 256 materials, drawn, checked and trained.

Prints what was found as JSON. In a process of its own, as the memory is what its system counts.
"""

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.helpers.edit import recipe, teacher_settings, terrain, views
from tests.helpers.palettes import write_palette
from tests.helpers.step_memory import memory
from tests.helpers.step_memory import run as warm_up
from tests.helpers.workspace import params
from voxsds.files.params import read_section
from voxsds.gradcheck.gate import GradcheckSettings, gradcheck
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import load_teacher
from voxsds.guidance.oracle import OracleModel
from voxsds.render.draw import Placed, draw
from voxsds.train.memory import Load
from voxsds.train.recipe import Recipe
from voxsds.train.training import Scene, Training, train
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap, read_map, write_map
from voxsds.world.palette import read_palette

SHAPE, FRAME, LEVELS, STEPS, SIZE, LR = (24, 16, 24), Frame((12.0, 12.0)), (1, 2, 4), 20, 48, 0.1


def worlds(folder: Path) -> tuple[BlockMap, BlockMap]:
    """Hills of all the materials, and the same in other ones; both as read from map.json."""
    palette = read_palette(folder / "many.yaml")
    ground, rng = terrain(1, SHAPE) > 0, np.random.default_rng(0)
    found = []
    for name in ("start", "target"):
        patches = rng.integers(1, len(palette), (6, 4, 6)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        write_map(folder / f"{name}.json", BlockMap(np.where(ground, patches, 0), palette, FRAME))
        found.append(read_map(folder / f"{name}.json", palette))
    return found[0], found[1]


def rules(folder: Path) -> Recipe:
    model = OracleModel("oracle", str(folder / "target.json"), str(folder / "many.yaml"))
    teacher = replace(teacher_settings(resolution=SIZE), model=model)
    return recipe(steps=STEPS, teacher=teacher, patchwork_limit=None, lr=LR)


def trained(folder: Path, start: BlockMap, chosen: Recipe) -> list[DifferentiableVoxelGrid]:
    """The grid before and after a run."""
    knobs = GridSettings(LEVELS, 3.0, 4.0)
    grid = DifferentiableVoxelGrid.from_blocks(start.blocks, len(start.palette), knobs)
    teacher = load_teacher(chosen.teacher, folder)
    scene = Scene(start.palette, FRAME, views(SHAPE, FRAME, SIZE))
    training = Training(grid, scene, teacher, teacher.read("anything", None), chosen)
    assert len(list(train(training))) == STEPS
    return [DifferentiableVoxelGrid.from_blocks(start.blocks, len(start.palette), knobs), grid]


@torch.no_grad()
def distance(grid: DifferentiableVoxelGrid, target: BlockMap) -> float:
    """Mean difference of the grid's pictures from those of the world to arrive at."""
    cameras = views(SHAPE, FRAME, SIZE)
    drawn = draw(Placed(grid.field(1.0, 0.5), target.palette, FRAME), cameras)
    return (drawn - draw(target, cameras)).abs().mean().item()


def main() -> None:
    folder = Path(sys.argv[1])
    write_palette(folder / "many.yaml", 256)
    start, target = worlds(folder)
    cameras = views(SHAPE, FRAME, SIZE)
    settings = read_section(params(), "gradcheck", GradcheckSettings)
    checked = gradcheck(start, cameras[0], replace(settings, image_size=SIZE), seed=0)
    warm_up((8, 8, 8), 1, 16, "numba").advance()  # compiles, and fills whatever is kept for good
    chosen = rules(folder)
    stated = Load.of(chosen, SHAPE, len(start.palette), LEVELS, torch.device("cpu")).total
    gc.collect()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest memory so far
    grids = trained(folder, start, chosen)
    taken = memory("VmHWM") - before
    found = {
        "materials": len(start.palette),
        "failures": checked.failures,
        "backends": {name: by_scene["soft"].worst() for name, by_scene in checked.backends.items()},
        "distances": [distance(grid, target) for grid in grids],
        "measured": taken,
        "stated": stated,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
