"""Figures of worlds and images: arrays in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from voxsds.blocks.neighbours import floating
from voxsds.world.palette import AIR, Palette


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
    """Counts the cells by which `before` became `after`."""
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


def material_counts(blocks: Integer[np.ndarray, "X Y Z"], names: Sequence[str]) -> dict[str, int]:
    """Number of blocks of each material but air that there is."""
    counts = np.bincount(blocks.ravel(), minlength=len(names))
    return {name: int(counts[i]) for i, name in enumerate(names) if i != AIR and counts[i]}


def shares(counts: dict[str, int]) -> dict[str, float]:
    """Counts over their sum."""
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


# What became of a block, as materials that are easy to tell apart.
KEPT, ADDED, REPAINTED = 1, 2, 3


CHANGES = Palette(
    ("Air", "Kept", "Added", "Repainted"),
    np.repeat([[0.0] * 3, [0.62, 0.62, 0.62], [0.18, 0.70, 0.35], [0.98, 0.76, 0.16]], 3, axis=0).reshape(
        4, 3, 3
    ),
)


def changes(
    before: Integer[np.ndarray, "X Y Z"], after: Integer[np.ndarray, "X Y Z"]
) -> Integer[np.ndarray, "X Y Z"]:
    """The blocks of `after` by what became of them, as materials of `CHANGES`."""
    fate = np.where(before == AIR, ADDED, np.where(before == after, KEPT, REPAINTED))
    return np.where(after == AIR, AIR, fate)
