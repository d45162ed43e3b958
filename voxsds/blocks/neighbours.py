"""Voxels that touch at a face: neighbours, free faces, groups, and what floats."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage

from voxsds.world.palette import AIR

Mask = Bool[np.ndarray, "X Y Z"]
Voxel = tuple[int, int, int]
Group = tuple[np.ndarray, np.ndarray, np.ndarray]  # the x, y and z of its voxels


def beside(voxel: Voxel, shape: tuple[int, ...]) -> Iterator[Voxel]:
    """The voxels of the grid at its faces."""
    for axis in range(3):
        for step in (-1, 1):
            x, y, z = (c + step * (axis == i) for i, c in enumerate(voxel))
            if 0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]:
                yield x, y, z


def free_faces(around: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "6 X-2 Y-2 Z-2"]:
    """The voxels by the faces of theirs that no other covers, in the order of `palette.FACE_NORMALS`.

    `around` has one more voxel on every side than the grid: those say what covers the faces at its border.
    """
    inner = (slice(1, -1),) * 3
    covered = [np.roll(around, -step, axis)[inner] for axis in range(3) for step in (1, -1)]
    return around[inner] & ~np.stack(covered)


def grown(mask: Mask) -> Mask:
    """`mask` and the voxels at its faces."""
    return np.asarray(ndimage.binary_dilation(mask))


def components(mask: Mask) -> Iterator[Group]:
    """The groups of voxels of `mask` that are joined by faces, in the order of their first voxels."""
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    voxels = ndimage.value_indices(labels, ignore_value=0)
    yield from (voxels[label] for label in sorted(voxels))


def floating(blocks: Integer[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """The blocks that no chain of face neighbours joins to the lowest layer that holds a block."""
    solid = blocks != AIR
    layers = np.flatnonzero(solid.any(axis=(0, 2)))
    if len(layers) == 0:
        return solid
    labels, _ = ndimage.label(solid)  # pyright: ignore[reportGeneralTypeIssues]
    return solid & ~np.isin(labels, labels[:, layers[0]])
