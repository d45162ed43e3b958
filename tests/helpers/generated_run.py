"""Runs made without training: the shipped hill became a generated world, whose caption is the prompt."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from teacher.worlds.materials import ENGINE
from teacher.worlds.world import build
from tests.helpers.small_run import FACTS, GRADIENTS
from voxsds.captions.attributes import PROMPTS
from voxsds.captions.styles import EVALUATOR
from voxsds.grid.file import GridFile
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.held_out import Ring
from voxsds.validate.run import Run
from voxsds.validate.validation import Validation, validate
from voxsds.validate.views import ValidateSettings
from voxsds.world.maps import BlockMap, read_map
from voxsds.world.poses import PoseLaw, orbit_pose

ROOT = Path(__file__).parents[2]
LAW = PoseLaw((15.0, 52.0), (1.3, 1.65), 45.0, 0.36, 0.05)
SETTINGS = ValidateSettings(
    ring=Ring(12, (20.0, 28.0, 36.0, 44.0), 1.45),
    image_size=96,
    pictured=1,
    picture_size=32,
    evaluator="models/evaluator",
    distractors=99,
    distractor_seed=20261,
    other_prompts=1,
)


@cache
def start() -> BlockMap:
    return read_map(ROOT / "maps/1/map.json", ENGINE)


class Remembering(Evaluator):
    """The shipped evaluator, which looks at equal images once: most runs start from the same map."""

    def image_embeddings(self, images):
        key = images.numpy().tobytes()
        if key not in _EMBEDDED:
            _EMBEDDED[key] = super().image_embeddings(images)
        return _EMBEDDED[key]


_EMBEDDED: dict[bytes, torch.Tensor] = {}


@cache
def evaluator() -> Evaluator:
    return Remembering.load(ROOT / "models/evaluator")


def described(prompt: str, seed: int) -> np.ndarray:
    """A world that `prompt` describes, of the size of the shipped map."""
    return build(PROMPTS[prompt], np.random.default_rng(seed), EVALUATOR).blocks.astype(np.int64)


def soft_as(blocks: np.ndarray, initial_logit: float = 3.0) -> GridFile:
    """A trained grid that draws `blocks`, at the temperatures of the recipe's end."""
    world = start()
    settings = GridSettings((1, 2), initial_logit, 4.0)
    grid = DifferentiableVoxelGrid.from_blocks(blocks, len(world.palette), settings)
    ends = {"occupancy_temperature": 0.03, "material_temperature": 0.1}
    return GridFile(grid, world.palette, world.frame, torch.ones(blocks.shape), ends)


def run_to(prompt: str, after: np.ndarray, before: np.ndarray | None = None, **changes) -> Run:
    """The run that turned `before`, else the shipped map, into `after`."""
    world = start()
    first = world.blocks if before is None else before
    cameras = [orbit_pose(LAW, first.shape, world.frame, 32, 15.0 * i, 30.0, 1.4) for i in range(24)]
    images = {
        step: draw(BlockMap(b, world.palette, world.frame), cameras[:1])
        for step, b in ((0, first), (9, after))
    }
    before_and_after = (BlockMap(blocks, world.palette, world.frame, {}) for blocks in (first, after))
    trained = changes.pop("trained", None) or soft_as(after)
    tests = (GRADIENTS, GRADIENTS)
    return Run(prompt, *before_and_after, trained, cameras, images, *tests, FACTS, **changes)


def judged(run: Run) -> Validation:
    distractors = distractor_captions(run.prompt, SETTINGS.distractors, SETTINGS.distractor_seed)
    return validate(run, evaluator(), distractors, LAW, SETTINGS)
