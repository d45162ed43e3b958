"""Limits of an edit: a part of the world, some materials, so many blocks.

`EditSettings` is what a person writes; `limits_of` turns it into the cells and materials of one map. The
limits act twice: `restrain` keeps the training from moving what must not move, so that nothing is built
on it, and `Limits.kept` makes the exported blocks obey exactly, whatever was trained.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from voxsds.blocks.neighbours import Group
from voxsds.world.palette import AIR, Palette

Blocks = Integer[np.ndarray, "X Y Z"]
Mask = Bool[np.ndarray, "X Y Z"]


@dataclass(frozen=True)
class Box:
    """A part of the grid, both corners inside it."""

    low: tuple[int, int, int]  # x, y, z of its lowest block
    high: tuple[int, int, int]  # and of its highest
    prompt: str | None = None  # what this part shall look like; None: what the whole world shall

    def __post_init__(self) -> None:
        """ValueError where a corner is on the wrong side of the other."""
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(
                f"low is {list(self.low)} and high {list(self.high)}; low must not exceed high on any axis"
            )

    @property
    def cells(self) -> tuple[slice, slice, slice]:
        """The index of its blocks in an array over the grid."""
        x, y, z = (slice(low, high + 1) for low, high in zip(self.low, self.high, strict=True))
        return x, y, z


@dataclass(frozen=True)
class EditSettings:
    """Limits as a person writes them. `EVERYTHING` sets none."""

    region: tuple[Box, ...] | None  # nothing outside these boxes changes; None: everywhere
    lock: tuple[str, ...]  # blocks that the map has of these materials stay
    materials: tuple[str, ...] | None  # of what changed cells are made, if not of air; None: of all
    max_blocks: int | None  # cells that change, at most
    preserve: float | None  # 0: a new world, 1: a light touch; None: 1 if the prompt describes the map

    def __post_init__(self) -> None:
        """ValueError with all that no map could meet."""
        wrong = [
            message
            for holds, message in (
                (
                    self.preserve is None or 0 <= self.preserve <= 1,
                    f"preserve is {self.preserve}; give 0 to 1, or null to go by what the prompt describes",
                ),
                (
                    self.max_blocks is None or self.max_blocks >= 0,
                    f"max_blocks is {self.max_blocks}; give 0 or more, or null for any number",
                ),
                (self.region != (), "region is an empty list; give a box, or null for everywhere"),
                (self.materials != (), "materials is an empty list; name some, or write null for all"),
            )
            if not holds
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


EVERYTHING = EditSettings(region=None, lock=(), materials=None, max_blocks=None, preserve=0.0)


@dataclass(frozen=True, eq=False)
class Limits:
    """The settings for one map."""

    free: Mask  # cells that may change
    materials: Bool[np.ndarray, " materials"]  # that a changed cell may have; air always
    max_blocks: int | None

    def kept(self, blocks: Blocks, initial: Blocks) -> Blocks:
        """`blocks`, with `initial` wherever the change is not allowed; the budget is not looked at."""
        return np.where(self.broken(blocks, initial), initial, blocks)

    def broken(self, blocks: Blocks, initial: Blocks) -> Mask:
        """The cells that changed though they must not, or to what they must not."""
        return (blocks != initial) & ~(self.free & self.materials[blocks])

    def allows(self, cells: Group, materials: Integer[np.ndarray, " n"], initial: Blocks) -> bool:
        """Whether all of `cells` may have these `materials`."""
        unchanged = materials == initial[cells]
        return bool((unchanged | (self.free[cells] & self.materials[materials])).all())

    def excess(self, blocks: Blocks, initial: Blocks) -> int:
        """Number of cells that break a limit, those over the budget counted."""
        broken = int(self.broken(blocks, initial).sum())
        changed = int((blocks != initial).sum())
        return max(broken, 0 if self.max_blocks is None else changed - self.max_blocks)


def no_limits(shape: tuple[int, ...], materials: int) -> Limits:
    """Limits that allow every change: those of `EVERYTHING`."""
    return Limits(np.ones(shape, dtype=bool), np.ones(materials, dtype=bool), None)


def limits_of(settings: EditSettings, blocks: Blocks, palette: Palette, where: str = "params.yaml") -> Limits:
    """The limits that `settings` set to a map of these blocks.

    ValueError names a material that the map's palette lacks, or a box that leaves the grid and its size.
    """
    free = _inside(settings.region, blocks.shape, where)
    free &= ~np.isin(blocks, _indices(settings.lock, palette, f"{where}: edit.lock"))
    allowed = np.ones(len(palette), dtype=bool)
    if settings.materials is not None:
        allowed[:] = False
        allowed[[AIR, *_indices(settings.materials, palette, f"{where}: edit.materials")]] = True
    return Limits(free, allowed, settings.max_blocks)


def prompted_parts(settings: EditSettings, shape: tuple[int, ...]) -> list[tuple[str | None, Mask]]:
    """The cells that each prompt moves, no cell twice: a box with a prompt its own, the first where boxes
    overlap, and under None, at the end, what is left of the region for the prompt of the whole world.

    Empty where no box has a prompt; a prompt without any cell is left out.
    """
    boxes = [box for box in settings.region or () if box.prompt is not None]
    if not boxes:
        return []
    left, parts = _inside(settings.region, shape, "edit.region"), []
    for box in boxes:
        cells = np.zeros(shape, dtype=bool)
        cells[box.cells] = left[box.cells]
        left &= ~cells
        parts.append((box.prompt, cells))
    return [(prompt, cells) for prompt, cells in (*parts, (None, left)) if cells.any()]


def _inside(region: Iterable[Box] | None, shape: tuple[int, ...], where: str) -> Mask:
    """The cells of the grid in any of the boxes."""
    if region is None:
        return np.ones(shape, dtype=bool)
    inside = np.zeros(shape, dtype=bool)
    for i, box in enumerate(region):
        if min(box.low) < 0 or any(high >= side for high, side in zip(box.high, shape, strict=True)):
            raise ValueError(
                f"{where}: edit.region[{i}] is {list(box.low)} to {list(box.high)}, but the grid of {shape} "
                f"blocks goes from [0, 0, 0] to {[side - 1 for side in shape]}; give corners inside it"
            )
        inside[box.cells] = True
    return inside


def _indices(names: Iterable[str], palette: Palette, where: str) -> list[int]:
    solids = palette.names[AIR + 1 :]
    for name in names:
        if name not in solids:
            near = difflib.get_close_matches(name, solids, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where} has {name!r}; the map's materials are {', '.join(solids)}.{hint}")
    return [palette.index(name) for name in names]
