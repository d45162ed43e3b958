"""A run over a world of a few blocks, made without training: a post is built and the ground repainted."""

import numpy as np
import torch

from teacher.worlds.materials import ENGINE, GRASS, SNOW, STONE
from voxsds.grid.file import GridFile
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw
from voxsds.validate.held_out import Ring
from voxsds.validate.run import Effort, Facts, GradientTest, LogitGradients, ProbeMargin, Run
from voxsds.validate.views import ValidateSettings
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap
from voxsds.world.poses import PoseLaw, orbit_pose

SHAPE = (8, 6, 8)
FRAME = Frame((4.0, 4.0))
LAW = PoseLaw((15.0, 52.0), (1.2, 1.55), 45.0, 0.33, 0.05)
SETTINGS = ValidateSettings(
    ring=Ring(8, (20.0, 40.0), 1.4),
    image_size=32,
    pictured=4,
    picture_size=48,
    evaluator="models/evaluator",
    distractors=5,
    distractor_seed=0,
    other_prompts=3,
)
SOUND = {
    "differentiable": True,
    "gradient_norm_l2": 20.0,
    "gradient_health_score": 0.9,
    "blocks_with_gradients": 0.8,
    "has_nan_gradients": False,
    "has_inf_gradients": False,
}
GRADIENTS = GradientTest(**SOUND, ok=True, occupancy=LogitGradients(**SOUND))
FACTS = Facts(ProbeMargin(-0.02, 0.01), Effort(4, 4, seconds=2.0, ms_per_step=500.0, peak_memory_mb=700.0))


def grassland() -> np.ndarray:
    blocks = np.zeros(SHAPE, dtype=np.int64)
    blocks[:, 0, :] = GRASS
    return blocks


def snow_with_post() -> np.ndarray:
    blocks = np.zeros(SHAPE, dtype=np.int64)
    blocks[:, 0, :] = SNOW
    blocks[4, 1:5, 4] = STONE
    return blocks


def world(blocks: np.ndarray) -> BlockMap:
    return BlockMap(blocks, ENGINE, FRAME, {})


def dataset(count: int = 12):
    return [orbit_pose(LAW, SHAPE, FRAME, 32, 360 / count * i, 30.0, 1.35) for i in range(count)]


def small_run(prompt: str, before: np.ndarray, after: np.ndarray) -> Run:
    """The run that turned `before` into `after` at once; its trained grid is all but hard."""
    materials = len(ENGINE)
    grid = DifferentiableVoxelGrid.from_blocks(after, materials, GridSettings((1, 2), 3.0, 4.0))
    temperatures = {"occupancy_temperature": 0.1, "material_temperature": 0.15}
    trained = GridFile(grid, ENGINE, FRAME, torch.ones(SHAPE), temperatures)
    tests = {step: draw(world(b), dataset()[:3]) for step, b in ((0, before), (4, after))}
    return Run(prompt, world(before), world(after), trained, dataset(), tests, GRADIENTS, GRADIENTS, FACTS)
