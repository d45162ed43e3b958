"""python -m tests.helpers.step_memory X Y Z views pixels backend patchwork solids: bytes that a step takes.

In a process of its own, as its system counts it; the step is that of a run whose teacher costs nothing.
"""

import dataclasses
import gc
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from teacher.worlds.materials import ENGINE
from tests.helpers.edit import LAW, SHAPE, recipe, terrain
from tests.helpers.palettes import write_palette
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.noise import NoiseTable, scaled_linear_alpha_bars
from voxsds.guidance.teacher import Needs, Prediction, Question
from voxsds.train.memory import Load
from voxsds.train.training import Scene, Training
from voxsds.world.cameras import Frame
from voxsds.world.palette import Palette, read_palette
from voxsds.world.poses import orbit_pose


class Nobody:
    """A teacher that takes pixels for latents and says what it is given."""

    vocabulary = latent_range = None
    noise = NoiseTable.ddpm(scaled_linear_alpha_bars())

    def __init__(self, resolution: int):
        self.resolution = resolution

    def encode(self, images):
        return images * 2 - 1

    def read(self, text, against):
        return Question(text, against, None)

    def predict(self, question, noisy, timesteps, rays):
        return Prediction(noisy, 0.9 * noisy)

    def predict_towards(self, question, noisy, timesteps, rays):
        return 0.9 * noisy


PATCHWORK = {"none": (0.0, None), "plain": (0.3, None), "limited": (0.3, 0.8)}  # weight and limit


def run(
    shape: tuple[int, int, int],
    views: int,
    pixels: int,
    backend: str,
    patchwork: str = "none",
    palette: Palette = ENGINE,
) -> Training:
    frame = Frame((shape[0] / 2, shape[2] / 2))
    knobs = GridSettings((1, 2, 4), 3.0, 4.0)
    grid = DifferentiableVoxelGrid.from_blocks(terrain(1, shape), len(palette), knobs)
    rules = recipe(views=views)
    weight, limit = PATCHWORK[patchwork]
    penalties = dataclasses.replace(rules.train.penalties, patchwork=weight)
    train = dataclasses.replace(rules.train, penalties=penalties, patchwork_limit=limit)
    rules = dataclasses.replace(rules, train=train, render=dataclasses.replace(rules.render, backend=backend))
    cameras = [orbit_pose(LAW, shape, frame, pixels, 30.0 * i, 30.0, 1.35) for i in range(12)]
    nobody = Nobody(pixels)
    return Training(grid, Scene(palette, frame, cameras), nobody, nobody.read("", None), rules)


def memory(name: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    x, y, z, views, pixels = map(int, sys.argv[1:6])
    backend, patchwork, solids = sys.argv[6:9]
    with TemporaryDirectory() as folder:
        palette = read_palette(write_palette(Path(folder) / "many.yaml", int(solids)))
    run(SHAPE, 1, 16, backend).advance()  # compiles, and fills whatever is kept for good
    gc.collect()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest memory so far
    training = run((x, y, z), views, pixels, backend, patchwork, palette)
    for _ in range(2):
        training.advance()
    nothing = pixels, Needs((), weights=0, pixel=0, loading=0)
    size = (x, y, z), len(palette), (1, 2, 4)
    load = Load(*size, backend, views, *nothing, patchwork != "none", patchwork == "limited")
    print(json.dumps({"measured": memory("VmHWM") - before, "estimated": load.total}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
