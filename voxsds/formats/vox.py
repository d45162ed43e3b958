"""MagicaVoxel's .vox: models of up to 256 voxels a side, placed by a tree of transforms.

https://github.com/ephtracy/voxel-model. There x is right, y away and z up, so that our (x, y, z) is their
(x, Z - 1 - z, y). A voxel has a colour, 1 to 255 of the palette; what it is made of is not said.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from voxsds.files.disk import write_bytes
from voxsds.formats.build import MAX_CELLS, Build, Kind, Shape, check_shape
from voxsds.formats.nbt import unpacked
from voxsds.formats.voxfile import chunks, read_scene, write_scene
from voxsds.formats.voxscene import Model, Placed, placed_models

SIDE = 256  # voxels of a model
EMPTY = Kind("(nothing)")
_CHUNK = 2**18  # voxels placed at a time: their positions take 24 bytes each, several times over


def read(path: Path) -> Build:
    """Reads all visible models of a .vox file into one grid; where they overlap, the last has its way."""
    scene = read_scene(chunks(unpacked(path), str(path)), str(path))
    placed = placed_models(scene, str(path))
    if not placed:
        raise ValueError(f"{path}: no visible model; show one in MagicaVoxel and save again")
    if sum(len(one.model.voxels) for one in placed) > MAX_CELLS:
        raise ValueError(f"{path}: its copies of models have more than {MAX_CELLS:,} voxels; save fewer")
    corners = [one.corners() for one in placed]
    low = np.min([low for low, _ in corners], axis=0)
    x, y, z = (np.max([high for _, high in corners], axis=0) - low).tolist()
    indices = np.zeros(check_shape((x, y, z), str(path)), np.uint8)
    for one in placed:
        for start in range(0, len(one.model.voxels), _CHUNK):
            part = slice(start, start + _CHUNK)
            at = one.positions(part) - low
            indices[tuple(at.T)] = one.model.voxels[part, 3]
    colors = scene.palette if scene.palette is not None else default_palette()
    return _build(indices, colors, scene.notes)


def _build(
    indices: UInt8[np.ndarray, "x y z"], colors: UInt8[np.ndarray, "256 4"], notes: tuple[str, ...]
) -> Build:
    """From MagicaVoxel's axes and palette to ours; entry i of the palette belongs to index i + 1."""
    used = np.unique(indices[indices > 0])
    table = np.zeros(256, np.uint16)
    table[used] = np.arange(1, len(used) + 1)
    rgb = colors[used.astype(int) - 1, :3].tolist()
    kinds = [Kind("#{:02x}{:02x}{:02x}".format(*c), (c[0] / 255, c[1] / 255, c[2] / 255)) for c in rgb]
    return Build(table[indices].transpose(0, 2, 1)[:, :, ::-1], (EMPTY, *kinds), notes)


def default_palette() -> UInt8[np.ndarray, "256 4"]:
    """MagicaVoxel's own, for files without one: a cube of 6 levels from white on, then four ramps."""
    levels, ramp = (255, 204, 153, 102, 51, 0), (238, 221, 187, 170, 136, 119, 85, 68, 34, 17)
    cube = [(r, g, b, 255) for r in levels for g in levels for b in levels][:-1]
    reds, greens, blues = ([(*(v * (i == j) for j in range(3)), 255) for v in ramp] for i in range(3))
    return np.array([*cube, *reds, *greens, *blues, *((v, v, v, 255) for v in ramp), (0, 0, 0, 0)], np.uint8)


def write(path: Path, build: Build) -> list[Path]:
    """Writes a .vox file; kinds without a colour are empty. Up to 256 a side it is one plain model.

    ValueError where there are more than 255 colours.
    """
    colors = [kind.color for kind in build.kinds if kind.color is not None]
    if len(colors) > 255:
        raise ValueError(
            f"{path}: {len(colors)} colours; a .vox file has up to 255. Map some to one material"
        )
    numbers = np.cumsum([kind.color is not None for kind in build.kinds])
    table = np.array([n if kind.color else 0 for n, kind in zip(numbers, build.kinds, strict=True)], np.uint8)
    indices = table[build.cells][:, :, ::-1].transpose(0, 2, 1)
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(colors), :3] = np.round(255 * np.array(colors).reshape(-1, 3))
    palette[: len(colors), 3] = 255
    write_bytes(path, write_scene([_model(indices, corner) for corner in _corners(indices.shape)], palette))
    return [path]


def _corners(shape: tuple[int, ...]) -> list[Shape]:
    """Corners of the models that a world of `shape` is cut into."""
    x, y, z = (range(0, side, SIDE) for side in shape)
    return [(i, j, k) for i in x for j in y for k in z]


def _model(indices: UInt8[np.ndarray, "x y z"], corner: Shape) -> Placed:
    x, y, z = (slice(at, at + SIDE) for at in corner)
    part = indices[x, y, z]
    filled = np.argwhere(part)
    voxels = np.concatenate([filled, part[part > 0][:, None]], axis=1).astype(np.uint8)
    shape = part.shape[0], part.shape[1], part.shape[2]
    return Placed.at_corner(Model(shape, voxels), corner)
