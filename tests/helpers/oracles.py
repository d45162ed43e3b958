"""A world of a plain and a tower, seen by small cameras, for teachers that are known in closed form."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from teacher.worlds.materials import ENGINE
from voxsds.guidance.noise import NoiseTable, even_times, scaled_linear_alpha_bars
from voxsds.guidance.oracle import NOTHING, OracleTeacher
from voxsds.guidance.teacher import Question
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.render.renderer import render
from voxsds.world.cameras import Frame, look_at
from voxsds.world.field import solid_field

LIT = lit_faces(ENGINE).float()
WANTED = "what is wanted"
DIFFUSION = NoiseTable.ddpm(scaled_linear_alpha_bars())
TABLES = {  # the noise that teachers are trained by
    "diffusion": DIFFUSION,
    "flow": NoiseTable.flow(even_times()),
}
# A flow of SDXL's signal to noise at each timestep, as flows for large images are shifted to more noise.
SHIFTED = NoiseTable.flow(DIFFUSION.noise.sqrt() / (DIFFUSION.signal.sqrt() + DIFFUSION.noise.sqrt()))


def oracle(
    wanted: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    size: int = 16,
    kind: type[OracleTeacher] = OracleTeacher,
    **knobs: Any,
) -> tuple[OracleTeacher, Question]:
    """An oracle, and the question whether a view shows a wanted world rather than one of the others."""
    teacher = kind({NOTHING: others, WANTED: wanted}, LIT, size, **knobs)
    return teacher, teacher.read(WANTED, None)


def world(ground: int, tower: int) -> np.ndarray:
    """A plain of `ground` with a tower of `tower` in its middle."""
    blocks = np.zeros((8, 8, 8), dtype=np.int64)
    blocks[:, :2] = ground
    blocks[3:5, 2:6, 3:5] = tower
    return blocks


def views(count: int = 2, size: int = 16) -> RayBundle:
    target = np.array([0.0, 4.0, 0.0])
    eyes = [np.array([24 * math.cos(k), 16.0, 24 * math.sin(k)]) for k in range(count)]
    return ray_bundle([look_at(eye, target, 45.0, size, size) for eye in eyes], Frame((4.0, 4.0)))


def latents_of(blocks: np.ndarray, rays: RayBundle) -> torch.Tensor:
    opacity, material = solid_field(blocks, len(LIT))
    return render(opacity, material, LIT, rays).rgba[:, :3] * 2 - 1


def normal(seed: int, like: torch.Tensor) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
