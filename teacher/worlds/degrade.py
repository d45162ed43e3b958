"""Worlds made worse on purpose, so that a teacher learns the words for it: crumbs, haze, noise, holes."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from teacher.worlds.materials import ENGINE, WATER
from voxsds.blocks.neighbours import free_faces
from voxsds.world.palette import AIR, FACE_NORMALS

SOLIDS = len(ENGINE) - 1
BESIDE_OR_ABOVE = FACE_NORMALS[:, 1] >= 0


def exposed(blocks: UInt8[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """Blocks with air beside or above them, inside the grid."""
    faces = free_faces(np.pad(blocks != AIR, 1, mode="edge"))
    return np.logical_or.reduce(faces[BESIDE_OR_ABOVE], axis=0)


def with_floating_blocks(
    blocks: UInt8[np.ndarray, "X Y Z"], rng: np.random.Generator
) -> UInt8[np.ndarray, "X Y Z"]:
    """Scatters crumbs of 1 to 8 blocks in the air, 25 to 90 in a world of the reference size."""
    out = blocks.copy()
    top = np.max(np.nonzero(blocks)[1])
    number = round(rng.uniform(25, 90) * blocks.shape[0] * blocks.shape[2] / 1024)
    kinds = np.unique(blocks[(blocks > 0) & (blocks != WATER)])
    x, z = (rng.integers(0, blocks.shape[axis], number) for axis in (0, 2))
    ground = (blocks > 0).sum(axis=1)[x, z]
    y = (
        ground
        + 2
        + (rng.random(number) * np.maximum(1, min(top + 4, blocks.shape[1]) - ground - 2)).astype(int)
    )
    for a, b, c, size in zip(x, y, z, rng.integers(1, 3, (number, 3)), strict=True):
        crumb = out[a : a + size[0], b : b + size[1], c : c + size[2]]
        crumb[crumb == 0] = rng.choice(kinds)
    return out


def with_noise(blocks: UInt8[np.ndarray, "X Y Z"], rng: np.random.Generator) -> UInt8[np.ndarray, "X Y Z"]:
    """Gives 12 to 35 % of the blocks a random material."""
    struck = (blocks > 0) & (rng.random(blocks.shape) < rng.uniform(0.12, 0.35))
    return np.where(struck, rng.integers(1, SOLIDS + 1, blocks.shape), blocks).astype(np.uint8)


def with_holes(blocks: UInt8[np.ndarray, "X Y Z"], rng: np.random.Generator) -> UInt8[np.ndarray, "X Y Z"]:
    """Bites round holes out of the surface and takes some 8 % of its blocks singly."""
    out = blocks.copy()
    places = np.argwhere(exposed(blocks))
    out[exposed(blocks) & (rng.random(blocks.shape) < rng.uniform(0.04, 0.12))] = 0
    number = round(rng.uniform(10, 25) * blocks.shape[0] * blocks.shape[2] / 1024)
    for x, y, z in places[rng.integers(0, len(places), number)]:
        radius = rng.uniform(1.3, 2.8)
        window = tuple(slice(max(p - 3, 0), min(p + 4, n)) for p, n in zip((x, y, z), out.shape, strict=True))
        a, b, c = np.ogrid[window]
        out[window][(a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2 <= radius**2] = 0
    out[:, 0] = np.where(out[:, 0] == 0, blocks[:, 0], out[:, 0])
    return out


def with_fog(
    blocks: UInt8[np.ndarray, "X Y Z"], rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "X Y Z"], Float[np.ndarray, "X Y Z"]]:
    """Soft voxels in the air (opacity up to 0.3) and a skin that mixes materials on some surfaces.

    Returns the blocks, haze included, and the opacity of every voxel. Haze stays below 0.5, so a threshold
    there gives the clean world back, except for surfaces that have become soft themselves.
    """
    air = blocks == 0
    above = np.zeros_like(air)
    above[:, 1:] = air[:, 1:] & ~air[:, :-1]
    strength = rng.uniform(0.06, 0.28)
    haze = air & (rng.random(blocks.shape) < rng.uniform(0.02, 0.15))
    skin = above & (rng.random(blocks.shape) < rng.uniform(0.1, 0.6))
    opacity = (~air).astype(np.float32)
    opacity[haze] = strength * rng.random(int(haze.sum()))
    opacity[skin] = rng.uniform(0.1, 0.45, int(skin.sum()))
    soft = exposed(blocks) & (rng.random(blocks.shape) < rng.uniform(0.0, 0.35))
    opacity[soft] = rng.uniform(0.4, 0.95, int(soft.sum()))
    kinds = rng.integers(1, SOLIDS + 1, rng.integers(1, 4)).astype(np.uint8)
    mist = kinds[rng.integers(0, len(kinds), blocks.shape)]
    return np.where(haze | skin, mist, blocks), opacity.astype(np.float32)
