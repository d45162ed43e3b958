"""Which voxels touch at a face."""

from collections import deque
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

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


def grown(mask: Mask) -> Mask:
    """`mask` and the voxels at its faces."""
    out = mask.copy()
    for axis in range(3):
        a, m = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
        a[1:] |= m[:-1]
        a[:-1] |= m[1:]
    return out


def components(mask: Mask) -> Iterator[Group]:
    """The groups of voxels of `mask` that are joined by faces, in the order of their first voxels."""
    left = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    for first in sorted(left):
        if first not in left:
            continue
        left.discard(first)
        group, queue = [first], deque([first])
        while queue:
            for voxel in beside(queue.popleft(), mask.shape):
                if voxel in left:
                    left.discard(voxel)
                    group.append(voxel)
                    queue.append(voxel)
        xs, ys, zs = np.array(group).T
        yield xs, ys, zs
