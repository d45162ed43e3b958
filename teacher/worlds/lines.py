"""Structures that run across the world and follow its ground: wall, bridge, road."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from teacher.worlds.terrain import Ground


def columns_between(
    blocks: UInt8[np.ndarray, "X Y Z"],
    area: Bool[np.ndarray, "X Z"],
    bottom: Int[np.ndarray, "X Z"],
    top: Int[np.ndarray, "X Z"],  # exclusive
    block: int,
) -> None:
    """Fills the columns of `area` from `bottom` up to `top`, in place."""
    y = np.arange(blocks.shape[1])[None, :, None]
    blocks[area[:, None, :] & (y >= bottom[:, None, :]) & (y < top[:, None, :])] = block


def wall(
    blocks: UInt8[np.ndarray, "X Y Z"],
    levels: Int[np.ndarray, "X Z"],
    ground: Ground,
    block: int,
    height: int,
    thick: float,
) -> None:
    """A battlemented wall through the focus, edge to edge, along the line that `direction` is normal to.

    Its top is level over stretches of four blocks and stands `height` above their highest ground.
    """
    along, across = ground.along_and_across()
    area = np.abs(across) < thick / 2
    stretch = np.floor(along / 4).astype(int)
    stretch -= stretch.min()
    crest = np.zeros(stretch.max() + 1, dtype=int)
    np.maximum.at(crest, stretch[area], levels[area])
    top = crest[stretch] + height
    edge = area & (np.abs(across) > thick / 2 - 1.01)
    merlon = edge & (np.floor(along / 2).astype(int) % 2 == 0)
    columns_between(blocks, area, levels - 1, top + merlon, block)


def bridge(
    blocks: UInt8[np.ndarray, "X Y Z"],
    levels: Int[np.ndarray, "X Z"],
    ground: Ground,
    block: int,
    bank: int,  # layers of the banks
    half_span: float,
    half_width: float,
) -> None:
    """A slightly arched deck with rails over the focus, along `direction`, and two pairs of piers."""
    along, across = ground.along_and_across()
    area = (np.abs(along) <= half_width) & (np.abs(across) <= half_span)
    rise = np.cos(np.clip(across / half_span, -1, 1) * np.pi / 2) * 1.6 * ground.up
    deck = bank + np.round(rise).astype(int)
    columns_between(blocks, area, deck - 1, deck + 1, block)
    ends = area & (np.abs(across) > half_span - 3)
    columns_between(blocks, ends, np.minimum(levels, deck) - 1, deck, block)
    rail = area & (np.abs(along) > half_width - 1.01)
    columns_between(blocks, rail, deck, deck + 2, block)
    pier = rail & (np.abs(np.abs(across) - 0.4 * half_span) < 0.8)
    columns_between(blocks, pier, levels - 1, deck, block)


def road(
    blocks: UInt8[np.ndarray, "X Y Z"],
    levels: Int[np.ndarray, "X Z"],
    area: Bool[np.ndarray, "X Z"],
    block: int,
) -> None:
    """Paves the top two layers of the ground."""
    columns_between(blocks, area, levels - 2, levels, block)


def road_area(ground: Ground, width: float, bend: float, phase: float) -> Bool[np.ndarray, "X Z"]:
    """The columns of a gently bent road through the focus, edge to edge."""
    along, across = ground.along_and_across()
    curve = bend * (np.sin(along / (6.0 * ground.across) + phase) - np.sin(phase))
    return np.abs(across - curve) < width / 2


def smoothed_under(
    height: Float[np.ndarray, "X Z"], area: Bool[np.ndarray, "X Z"], rounds: int = 8
) -> Float[np.ndarray, "X Z"]:
    """The ground with its bumps taken out under and beside a road (repeated 3 x 3 means there)."""
    wide = area.copy()
    for axis in (0, 1):
        wide |= np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
    out = height
    for _ in range(rounds):
        padded = np.pad(out, 1, mode="edge")
        rows = padded[:-2] + padded[1:-1] + padded[2:]
        out = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return np.where(wide, out, height)
