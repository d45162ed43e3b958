"""Terrain light: what colour a face of each material has in the image.

The engine's formula, with n the face normal and s the unit vector towards the sun:

    f       = clamp(n_y / 2 + 1 / 2, 0, 1)                       how much sky the face sees
    ambient = 0.55 (horizon (1 - f) + sky f)
    lit     = min(1, albedo (ambient + max(n . s, 0) sun))
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.world.palette import FACE_NORMALS, FACE_SLOT, Palette

SUN_DIRECTION = np.array([-0.4, -0.85, -0.5]) / np.linalg.norm([-0.4, -0.85, -0.5])  # sun to world
SUN = np.array([1.0, 0.97, 0.9])
SKY = np.array([0.53, 0.81, 0.92])  # also the background of every image
HORIZON = np.array([0.18, 0.16, 0.12])
AMBIENT_STRENGTH = 0.55


def irradiance(normals: Float[np.ndarray, "faces 3"]) -> Float[np.ndarray, "faces 3"]:
    """Light that falls on faces with unit `normals` (world axes), before the albedo, unclamped."""
    sky_share = np.clip(normals[:, 1:2] / 2 + 0.5, 0.0, 1.0)
    ambient = AMBIENT_STRENGTH * (HORIZON * (1 - sky_share) + SKY * sky_share)
    return ambient + np.maximum(normals @ -SUN_DIRECTION, 0.0)[:, None] * SUN


def lit_faces(palette: Palette) -> Float[Tensor, "solids 6 3"]:
    """Lit colour, 0..1, of each face of each solid material; row i is material i + 1 (no air). float64.

    Clamped per material, before any mixing by probability: an unclamped snow top is 1.2, which
    no image shows, so mixtures would learn to dirty the snow; a clamp after mixing stops gradients.
    """
    albedo = palette.albedo[1:, FACE_SLOT]
    return torch.from_numpy(np.minimum(1.0, albedo * irradiance(FACE_NORMALS)))
