"""Which templates a world gets, and where they stand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from teacher.worlds import structures as build
from teacher.worlds.materials import BLOCK_OF
from teacher.worlds.structures import Template
from voxsds.captions.attributes import Attributes, Structure
from voxsds.captions.styles import Style

LINES = ("wall", "bridge", "road")  # follow the ground, see lines.py
GAPS = (2, 6)  # blocks between two structures: at least, and where there is room

# The worlds of a style that is faced lie the same way round: rivers, walls and valleys run from north to
# south, the sea is in the west and a lake west of what stands beside it, structures stand in a row from north
# to south, the third in the east of it, and doors open to north and south.
FACED_AXIS = 1  # of a row: z
FACED_SPREAD = 0.12  # radians, standard deviation of the direction of what runs from north to south


@dataclass(frozen=True, eq=False)
class Item:
    """A template, and the smallest (x, z) of its footprint."""

    kind: str
    template: Template
    corner: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        return self.template.shape[0], self.template.shape[2]


def growth(shape: tuple[int, int, int]) -> float:
    """How much larger structures are than in a world of 32 columns: (columns / 32)^0.6."""
    return (min(shape[0], shape[2]) / 32) ** 0.6


def rank(rng: np.random.Generator, size: str | None) -> float:
    """Where in its range of sizes a structure lies, 0..1."""
    match size:
        case "small":
            return rng.uniform(0.0, 0.25)
        case "big":
            return rng.uniform(0.75, 1.0)
        case _:
            return rng.uniform(0.2, 0.8)


def measures(
    structure: Structure,
    style: Style,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    crowd: float = 1.0,
) -> tuple[float, float]:
    """Width and height in blocks of this grid; `crowd` below 1 makes room for neighbours."""
    sizes, at = style.sizes[structure.kind], rank(rng, structure.size)
    factor = growth(shape)
    width, height = (low + at * (high - low) for low, high in (sizes.width, sizes.height))
    return max(1.0, width * factor * crowd), min(height * factor * np.sqrt(crowd), 0.55 * shape[1])


def template_of(
    structure: Structure, width: float, height: float, rng: np.random.Generator, faced: bool
) -> Template:
    """One structure of this kind; turned at random where it is not `faced`."""
    block = BLOCK_OF.get(structure.material or "", 0)
    w, h = int(width), round(height)
    match structure.kind:
        case "tower":
            body = build.tower(block, max(3, w), h, bool(rng.random() < 0.4))
        case "house":
            depth = max(5, round(w * rng.uniform(0.68, 0.9)))
            body = build.house(block, BLOCK_OF[structure.roof or "dirt"], w, depth, max(3, h))
        case "castle":
            body = build.castle(block, w, h, max(3, round(0.27 * w)), bool(rng.random() < 0.4))
        case "pyramid":
            body = build.pyramid(block, w)
        case "arch":
            body = build.arch(block, w, h, max(2, round(0.28 * w)))
        case "stairs":
            body = build.stairs(block, w, h)
        case "well":
            body = build.well(block, w, h)
        case "fence":
            body = build.fence(block, w)
        case "trees":
            body = build.tree(max(1, round(width)), h, 0.5 * h, bool(rng.random() < 0.35))
        case _:
            raise ValueError(f"structure {structure.kind!r}: walls, bridges and roads are built in lines.py")
    turns = int(rng.integers(4))
    return np.rot90(body, 0 if faced else turns, axes=(0, 2))


def templates(
    attributes: Attributes, style: Style, shape: tuple[int, int, int], rng: np.random.Generator
) -> list[tuple[str, Template]]:
    """All counted structures with a footprint of their own; smaller beside others and on a peak."""
    chosen = [s for s in attributes.structures if s.kind not in LINES and s.count > 0]
    crowd = 0.8 if sum(s.count for s in chosen) > 1 or attributes.relief == "mountain" else 1.0
    out = []
    for structure in chosen:
        if structure.kind == "trees":  # a single tree is a big one
            factor = growth(shape)
            out.append(
                (
                    structure.kind,
                    template_of(structure, 2.0 * factor, min(8 * factor, 0.45 * shape[1]), rng, style.faced),
                )
            )
            continue
        width, height = measures(structure, style, shape, rng, crowd)
        out += [
            (structure.kind, template_of(structure, width, height, rng, style.faced))
            for _ in range(structure.count)
        ]
    return out


def placed(
    items: list[tuple[str, Template]],
    middle: Float[np.ndarray, "2"],
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    faced: bool,
) -> list[Item]:
    """Stands up to three items around `middle`: in a row along x or z, the third behind the first two."""
    if not items:
        return []
    extents = [np.array([t.shape[0], t.shape[2]]) for _, t in items]
    row = extents[:2]
    axis = int(rng.integers(2))  # of the row, 0 = x, 1 = z
    if faced:
        axis = FACED_AXIS
    if np.sum(row, axis=0)[axis] + GAPS[0] > shape[2 * axis] - 2:
        axis = int(np.argmax([shape[0], shape[2]]))
    other = 1 - axis
    gap = int(np.clip(shape[2 * axis] - 4 - sum(int(e[axis]) for e in row), *GAPS))
    length = sum(int(e[axis]) for e in row) + gap * (len(row) - 1)
    behind = int(extents[2][other]) + GAPS[0] if len(items) > 2 else 0
    start = round(middle[axis] - length / 2)
    corners = []
    for e in row:
        corner = np.zeros(2, dtype=int)
        corner[axis] = start
        shift = rng.uniform(-2, 2) if len(row) > 1 and not behind else 0.0
        corner[other] = round(middle[other] - e[other] / 2 + shift - behind / 2)
        start += int(e[axis]) + gap
        corners.append(corner)
    if behind:
        corner = np.zeros(2, dtype=int)
        corner[axis] = round(middle[axis] - extents[2][axis] / 2)
        corner[other] = max(int(c[other] + e[other]) for c, e in zip(corners, row, strict=True)) + GAPS[0]
        corners.append(corner)
    inside = np.array(corners) + _push_inside(np.array(corners), np.array(extents), shape)
    return [Item(k, t, (int(c[0]), int(c[1]))) for (k, t), c in zip(items, inside, strict=True)]


def _push_inside(
    corners: Int[np.ndarray, "items 2"], extents: Int[np.ndarray, "items 2"], shape: tuple[int, int, int]
) -> Int[np.ndarray, "2"]:
    """The common shift that brings all footprints one block inside the world where they fit at all."""
    low = corners.min(axis=0)
    high = (corners + extents).max(axis=0)
    limit = np.array([shape[0], shape[2]]) - 1
    return np.maximum(1 - low, 0) - np.maximum(high - limit, 0) * (low >= 1)


def scattered(
    allowed: Bool[np.ndarray, "X Z"],  # columns on which a trunk may stand
    number: int,
    apart: float,  # least distance between trunks, blocks
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Up to `number` random columns, none nearer to another than `apart`."""
    columns = rng.permutation(np.argwhere(allowed))[:200]
    chosen: list[tuple[int, int]] = []
    for x, z in columns:
        if all(np.hypot(x - a, z - b) >= apart for a, b in chosen):
            chosen.append((int(x), int(z)))
        if len(chosen) == number:
            break
    return chosen
