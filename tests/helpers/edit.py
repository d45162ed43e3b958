"""A small world, the same world after a known edit, and a training run from one to the other."""

from dataclasses import replace

import numpy as np

from teacher.worlds.materials import DIRT, ENGINE, GRASS, PLANK, SNOW, STONE, WATER
from tests.helpers.oracles import oracle
from tests.helpers.teachers import ASK
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import TeacherSettings
from voxsds.guidance.noise import NoiseTable
from voxsds.guidance.oracle import OracleModel
from voxsds.guidance.teacher import Question, Teacher
from voxsds.train.recipe import Decay, Penalties, Recipe, RenderSettings, Span, TrainSettings
from voxsds.train.training import Scene, Training
from voxsds.train.views import CameraSettings
from voxsds.world.cameras import Camera, Frame
from voxsds.world.poses import PoseLaw, orbit_pose

SHAPE = (20, 16, 20)
FRAME = Frame((10.0, 10.0))
LAW = PoseLaw((15.0, 52.0), (1.2, 1.55), 45.0, 0.33, 0.047)


def terrain(surface: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Two gentle hills of stone under dirt under one layer of `surface`."""
    x, z = np.mgrid[: shape[0], : shape[2]] / np.array([shape[0], shape[2]])[:, None, None]
    hills = 2.5 * np.exp(-((x - 0.25) ** 2 + (z - 0.7) ** 2) / 0.05)
    height = (hills + 1.5 * np.exp(-((x - 0.8) ** 2 + (z - 0.2) ** 2) / 0.04) + 2.5).astype(int)[:, None, :]
    y = np.arange(shape[1])[None, :, None]
    return np.select([y < height - 1, y < height, y == height], [STONE, DIRT, surface], 0)


def house_on_grass() -> np.ndarray:
    blocks = terrain(GRASS)
    blocks[3:7, 3:7, 3:7] = PLANK
    return blocks


def tower_on_snow() -> np.ndarray:
    """The edit: the house is gone, a tower stands elsewhere, grass is snow, and there is a pond."""
    blocks = terrain(SNOW)
    blocks[12:16, 3:11, 11:15] = STONE
    pond = blocks[3:9, :, 3:8]
    pond[pond == SNOW] = WATER
    return blocks


def views(shape: tuple[int, int, int], frame: Frame, size: int) -> list[Camera]:
    """24 views from two heights all around, as a dataset has them."""
    poses = [(float(azimuth), elevation) for elevation in (22.0, 40.0) for azimuth in range(0, 360, 30)]
    return [
        orbit_pose(LAW, shape, frame, size, azimuth, elevation, 1.35, id=f"view_{i}")
        for i, (azimuth, elevation) in enumerate(poses)
    ]


HELD_OUT = [orbit_pose(LAW, SHAPE, FRAME, 96, azimuth + 15.0, 30.0, 1.4) for azimuth in range(0, 360, 45)]


def teacher_settings(**changes) -> TeacherSettings:
    """Those of an ideal teacher: no guidance needed. `changes` are of how to ask it."""
    ask = replace(ASK, resolution=48, guidance_scale=1.0)
    return TeacherSettings(OracleModel("oracle", "target.json", "engine"), replace(ask, **changes))


def recipe(
    seed: int = 0, lr: float = 0.03, teacher: TeacherSettings | None = None, cameras=(0.2, 0.3, 0.5), **train
) -> Recipe:
    """The shipped recipe, but for the changes."""
    knobs = dict(
        steps=400, views=2, betas=(0.9, 0.99), epsilon=1e-15, decay=Decay(0.1, 0.15),
        occupancy_temperature=Span(1.0, 0.1), material_temperature=Span(2.0, 0.15),
        penalties=Penalties(0.001, 0.0001, 0.0, 0.0, 0.3), patchwork_limit=0.8,
        freeze=Decay(1.0, 0.0), tidy=0.0, probe_every=25, image_every=50, checkpoint_every=25,
    )  # fmt: skip
    return Recipe(
        seed,
        lr,
        TrainSettings(**{**knobs, **train}),
        CameraSettings(*cameras, jitter_blocks=1.0, jitter_degrees=2.0),
        LAW,
        RenderSettings("auto", 0.05),
        teacher or teacher_settings(),
    )


def training(
    start: np.ndarray,
    wanted: np.ndarray | tuple[Teacher, Question],  # the world to arrive at, or who else is asked what
    rules: Recipe,
    frame: Frame = FRAME,
    size: int = 48,
    levels: tuple[int, ...] = (1, 2, 4),
    noise: NoiseTable | None = None,  # of the ideal teacher; None: that of SDXL
) -> Training:
    """A run from `start`."""
    asked = oracle([wanted], [start], size, noise=noise) if isinstance(wanted, np.ndarray) else wanted
    grid = DifferentiableVoxelGrid.from_blocks(start, len(ENGINE), GridSettings(levels, 3.0, 4.0))
    scene = Scene(ENGINE, frame, views(start.shape, frame, size))
    return Training(grid, scene, *asked, rules)
