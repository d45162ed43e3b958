"""The materials of a block world and the colours of their faces."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

AIR = 0

# Faces of a voxel, in this order everywhere: +x, -x, +y (top), -y (bottom), +z, -z.
FACE_NORMALS: Float[np.ndarray, "6 3"] = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64
)
TOP, BOTTOM, SIDE = range(3)
FACE_SLOT = np.array([SIDE, SIDE, TOP, BOTTOM, SIDE, SIDE])

_ENGINE_COLORS = {  # linear RGB of top, bottom and side, as the engine uses them
    "Grass": ((0.34, 0.68, 0.36), (0.40, 0.30, 0.16), (0.45, 0.58, 0.30)),
    "Dirt": ((0.42, 0.32, 0.20), (0.38, 0.26, 0.16), (0.40, 0.30, 0.18)),
    "Stone": ((0.58, 0.60, 0.64), (0.55, 0.57, 0.60), (0.56, 0.58, 0.62)),
    "Plank": ((0.78, 0.68, 0.50), (0.72, 0.60, 0.42), (0.74, 0.63, 0.45)),
    "Snow": ((0.92, 0.94, 0.96), (0.90, 0.92, 0.94), (0.88, 0.90, 0.93)),
    "Sand": ((0.88, 0.82, 0.60), (0.86, 0.78, 0.56), (0.87, 0.80, 0.58)),
    "Water": ((0.22, 0.40, 0.66), (0.20, 0.34, 0.60), (0.20, 0.38, 0.64)),
}


@dataclass(frozen=True, eq=False)
class Palette:
    """Names and albedos of the materials; the position in the table is the material index.

    Index 0 is air, whose albedo is zero and never drawn.
    """

    names: tuple[str, ...]
    albedo: Float[np.ndarray, "materials 3 3"]  # linear RGB 0..1 of top, bottom, side

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the material called `name`; ValueError where there is none."""
        return self.names.index(name)

    def extended(self, names: tuple[str, ...], albedo: Float[np.ndarray, "new 3 3"]) -> "Palette":
        """This palette with further materials after its own."""
        return Palette(self.names + names, np.concatenate([self.albedo, albedo]))


DEFAULT_PALETTE = Palette(
    names=("Air", *_ENGINE_COLORS),
    albedo=np.array([np.zeros((3, 3)), *_ENGINE_COLORS.values()], dtype=np.float64),
)
GRASS, DIRT, STONE, PLANK, SNOW, SAND, WATER = range(1, len(DEFAULT_PALETTE))
