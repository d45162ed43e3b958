"""Palettes: the materials of a block world, the colours of their faces, and what else is known of each.

A palette is a file, a row a material: those of this package lie in palettes/, a person's where it likes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from voxsds.files.disk import read_yaml
from voxsds.files.expect import as_numbers, as_object, nearest, shown

AIR = 0
AIR_NAME = "Air"

# Faces of a voxel, in this order everywhere: +x, -x, +y (top), -y (bottom), +z, -z.
FACE_NORMALS: Float[np.ndarray, "6 3"] = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64
)
TOP, BOTTOM, SIDE = range(3)
FACE_SLOT = np.array([SIDE, SIDE, TOP, BOTTOM, SIDE, SIDE])

SHIPPED = Path(__file__).with_name("palettes")
_SLOTS = ("top", "bottom", "side")
_COLUMNS = ("name", *_SLOTS, "state", "words", "under")


@dataclass(frozen=True, eq=False)
class Palette:
    """Materials by their index, which is their place in the tables; index 0 is air, which is never drawn.

    The columns `states`, `words` and `under` may lack a material: then nothing of the kind is known of it.
    """

    names: tuple[str, ...]
    albedo: Float[np.ndarray, "materials 3 3"]  # linear RGB 0..1 of top, bottom, side; zero for air
    states: Mapping[str, str] = field(default_factory=dict)  # the block that stands for it elsewhere
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by which sentences name it
    under: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what comes to light under it

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the material called `name`; ValueError where there is none."""
        return self.names.index(name)

    def extended(self, names: tuple[str, ...], albedo: Float[np.ndarray, "new 3 3"]) -> "Palette":
        """This palette with further materials after its own, of which nothing but colours is known."""
        together = np.concatenate([self.albedo, albedo])
        return Palette(self.names + names, together, self.states, self.words, self.under)


def read_palette(palette: str | Path) -> Palette:
    """A palette of this package by its name, such as "engine", or that in a YAML file by its path.

    ValueError names file, row and remedy where it is not one.
    """
    path = Path(palette)
    if not path.suffix:
        path = SHIPPED / f"{palette}.yaml"
        if not path.is_file():
            there = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
            raise ValueError(
                f"there is no palette {str(palette)!r}; there are {there}; or give a path such as my.yaml"
            )
    rows = read_yaml(path)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: holds {shown(rows)}; write a list, a row `- name: ...` for each material")
    return _palette([_row(row, f"{path}: row {i}") for i, row in enumerate(rows, start=1)], path)


def _palette(rows: list[dict[str, Any]], path: Path) -> Palette:
    """The rows as columns, air before them; ValueError where two have one name, or one refers to none."""
    names = (AIR_NAME, *(row["name"] for row in rows))
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"{path}: row {i}: the name {name!r} is taken; give it another")
    for row in rows:
        if unknown := [name for name in row.get("under", ()) if name not in names[1:]]:
            near = nearest(unknown[0], names[1:])
            raise ValueError(
                f"{path}: {row['name']}.under names {unknown[0]!r}, which is no row; did you mean {near!r}?"
            )
    colors = [[row[slot] for slot in _SLOTS] for row in rows]
    return Palette(
        names,
        np.array([np.zeros((3, 3)), *colors]),
        states={row["name"]: row["state"] for row in rows if "state" in row},
        words={row["name"]: frozenset(row["words"]) for row in rows if "words" in row},
        under={row["name"]: tuple(row["under"]) for row in rows if "under" in row},
    )


def _row(raw: Any, where: str) -> dict[str, Any]:
    """One material's entries, colours as arrays; ValueError where one is unknown, missing or mistyped."""
    row = as_object(raw, where)
    for key in row:
        if key not in _COLUMNS:
            raise ValueError(f"{where}: {key!r} is unknown; did you mean {nearest(str(key), _COLUMNS)!r}?")
    for key in ("name", *_SLOTS):
        if key not in row:
            raise ValueError(f"{where}: {key} is missing; add it")
    for key in ("name", "state"):
        if key in row and not (isinstance(row[key], str) and row[key]):
            raise ValueError(f"{where}: {key} is {shown(row[key])}; give it in words, in quotes if need be")
    for key in ("words", "under"):
        if key in row and not (isinstance(row[key], list) and all(isinstance(w, str) for w in row[key])):
            raise ValueError(f"{where}: {key} is {shown(row[key])}; give a list of words, like [a, b]")
    return row | {slot: as_color(row[slot], f"{where}: {slot}") for slot in _SLOTS}


def as_color(value: Any, where: str) -> Float[np.ndarray, "3"]:
    """Linear red, green and blue of 0 to 1; ValueError where they are something else."""
    color = as_numbers(value, 3, where)
    if color.min() < 0 or color.max() > 1:
        raise ValueError(
            f"{where} is {shown(value)}; give linear red, green and blue of 0 to 1 (bytes divided by 255)"
        )
    return color
