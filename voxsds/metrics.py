"""Figures of worlds and images: arrays in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from voxsds.materials import AIR

PSNR_CEILING = 100.0  # decibels; what equal images are given, since JSON knows no infinity


def psnr(image: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> float:
    """Peak signal-to-noise ratio, dB, of images 0..1: -10 log10 of the mean square difference.

    An error of 0.1 everywhere is 20 dB; equal images are `PSNR_CEILING`.
    """
    error = (image.double() - target.double()).square().mean().item()
    return min(PSNR_CEILING, -10 * math.log10(error)) if error > 0 else PSNR_CEILING


@dataclass(frozen=True)
class EditCounts:
    """Blocks by what became of them; `floating` counts blocks of the result, whoever made them."""

    added: int
    removed: int
    repainted: int  # a block before and after, of another material
    kept: int
    floating: int


def count_edits(
    before: Integer[np.ndarray, "X Y Z"],  # material ids, 0 = air
    after: Integer[np.ndarray, "X Y Z"],
) -> EditCounts:
    """How `before` became `after`."""
    was, is_now = before != AIR, after != AIR
    return EditCounts(
        added=int((~was & is_now).sum()),
        removed=int((was & ~is_now).sum()),
        repainted=int((was & is_now & (before != after)).sum()),
        kept=int((was & (before == after)).sum()),
        floating=int(floating(after).sum()),
    )


def kept_share(
    before: Integer[np.ndarray, "X Y Z"],
    after: Integer[np.ndarray, "X Y Z"],
    of: Bool[np.ndarray, "X Y Z"],  # blocks of `before` that count, such as those that can be seen
) -> float:
    """Share of the blocks `of` of `before` that `after` has too, of the same material; 1 where none count.

    A block that was removed or repainted is lost; what was added beside or over it does not matter.
    """
    counted = of & (before != AIR)
    return float((before == after)[counted].mean()) if counted.any() else 1.0


def floating(blocks: Integer[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """The blocks that no chain of face neighbours joins to the lowest layer that holds a block."""
    solid = blocks != AIR
    supported = np.zeros_like(solid)
    layers = np.flatnonzero(solid.any(axis=(0, 2)))
    if len(layers) == 0:
        return supported
    supported[:, layers[0], :] = solid[:, layers[0], :]
    count = -1
    while (grown := int(supported.sum())) != count:
        count = grown
        _spread(supported, solid)
    return solid & ~supported


def _spread(supported: Bool[np.ndarray, "X Y Z"], solid: Bool[np.ndarray, "X Y Z"]) -> None:
    """One sweep along each axis in both directions, in place; carries support along whole runs."""
    for axis in range(3):
        s, b = np.moveaxis(supported, axis, 0), np.moveaxis(solid, axis, 0)
        for i in range(1, len(s)):
            s[i] |= s[i - 1] & b[i]
        for i in range(len(s) - 2, -1, -1):
            s[i] |= s[i + 1] & b[i]


def material_counts(blocks: Integer[np.ndarray, "X Y Z"], names: Sequence[str]) -> dict[str, int]:
    """Number of blocks of each material but air."""
    counts = np.bincount(blocks.ravel(), minlength=len(names))
    return {name: int(counts[i]) for i, name in enumerate(names) if i != AIR}


def shares(counts: dict[str, int]) -> dict[str, float]:
    """Counts over their sum; all zero where there is nothing."""
    total = max(1, sum(counts.values()))
    return {name: count / total for name, count in counts.items()}
