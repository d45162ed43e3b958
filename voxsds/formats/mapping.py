"""Which of our materials is which of another program's blocks: a table, then colours, then what is left.

blocks.yaml beside this file is the table; a person's own of the same form is asked before it.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from voxsds.files.disk import read_yaml
from voxsds.files.expect import as_numbers, as_object, shown
from voxsds.formats.build import Kind
from voxsds.world.palette import AIR, DEFAULT_PALETTE, SIDE, TOP, Palette

TABLE = Path(__file__).with_name("blocks.yaml")
SECTIONS = ("write", "read", "colors", "otherwise")

How = Literal["same", "table", "colour", "unknown"]  # same: the block is a material of ours already
Color = tuple[float, float, float]  # 0..1 as displayed


class Choice(NamedTuple):
    """The material for a kind of block, and what it was chosen by."""

    material: int
    how: How


@dataclass(frozen=True)
class Mapping:
    """The first rule that matches a name holds; names are without `minecraft:` and properties."""

    states: dict[str, str]  # material name to block state
    rules: tuple[tuple[str, int], ...]  # pattern, material
    colors: tuple[tuple[str, Color], ...]  # pattern, colour
    otherwise: int  # the material of blocks that nothing is known of

    def material_of(self, kind: Kind) -> Choice:
        """The material that stands for `kind`."""
        name = base_name(kind.name)
        for pattern, material in self.rules:
            if fnmatchcase(name, pattern):
                return Choice(material, "table")
        color = kind.color or next((c for pattern, c in self.colors if fnmatchcase(name, pattern)), None)
        if color is None:
            return Choice(self.otherwise, "unknown")
        return Choice(nearest_material(color), "colour")

    def state_of(self, palette: Palette, material: int) -> tuple[str, How]:
        """The block state for a material; for one that the table lacks, that of the nearest colour."""
        name = palette.names[material]
        if name in self.states:
            return self.states[name], "table"
        r, g, b = palette.albedo[material, TOP].tolist()
        return self.states[DEFAULT_PALETTE.names[nearest_material((r, g, b))]], "colour"


def base_name(state: str) -> str:
    """oak_log of minecraft:oak_log[axis=y]; names of mods keep the mod's."""
    return state.partition("[")[0].removeprefix("minecraft:")


def nearest_material(color: Color) -> int:
    """The engine's material with a top or a side nearest to `color` in CIELAB; never air."""
    faces = lab(DEFAULT_PALETTE.albedo[1:, [TOP, SIDE]])
    distance = np.linalg.norm(faces - lab(np.array(color)), axis=-1).min(axis=1)
    return 1 + int(np.argmin(distance))


def lab(rgb: Float[np.ndarray, "*colors 3"]) -> Float[np.ndarray, "*colors 3"]:
    """CIELAB (D65) of sRGB colours 0..1; white is (100, 0, 0)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    xyz = linear @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def read_mapping(own: Path | None = None) -> Mapping:
    """The shipped table, with that of the file `own` before it; ValueError where one is not as it must be."""
    shipped = _table(TABLE)
    if own is None:
        return shipped
    mine = _table(own)
    return Mapping(
        shipped.states | mine.states,
        mine.rules + shipped.rules,
        mine.colors + shipped.colors,
        shipped.otherwise if mine.otherwise == AIR else mine.otherwise,
    )


def _table(path: Path) -> Mapping:
    raw = as_object(read_yaml(path), str(path))
    if unknown := [key for key in raw if key not in SECTIONS]:
        raise ValueError(f"{path}: {unknown[0]!r} is none of the sections {', '.join(SECTIONS)}; rename it")
    states = as_object(raw.get("write", {}), f"{path}: write")
    for name, state in states.items():
        if not isinstance(state, str) or not state:
            raise ValueError(f"{path}: write.{name} is {shown(state)}; give a block such as minecraft:stone")
    rules = [
        (pattern, _material(name, where))
        for name, patterns, where in _entries(raw, "read", path)
        for pattern in _patterns(patterns, where)
    ]
    colors = [(pattern, _color(value, where)) for pattern, value, where in _entries(raw, "colors", path)]
    otherwise = _material(raw["otherwise"], f"{path}: otherwise") if "otherwise" in raw else AIR
    return Mapping(states, tuple(rules), tuple(colors), otherwise)


def _entries(raw: dict[str, Any], section: str, path: Path) -> list[tuple[Any, Any, str]]:
    """Key, value and place of each of a list of single pairs, whose order counts."""
    listed, entries = raw.get(section, []), []
    if not isinstance(listed, list):
        raise ValueError(f"{path}: {section} is {shown(listed)}; write a list, one `- key: value` a line")
    for i, entry in enumerate(listed):
        pair = as_object(entry, f"{path}: {section}[{i}]")
        entries += [(key, value, f"{path}: {section}[{i}]") for key, value in pair.items()]
    return entries


def _material(name: Any, where: str) -> int:
    if name not in DEFAULT_PALETTE.names:
        known = ", ".join(DEFAULT_PALETTE.names)
        raise ValueError(f"{where}: {name!r} is none of the materials {known}; name one of these")
    return DEFAULT_PALETTE.index(name)


def _patterns(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        raise ValueError(f"{where} is {shown(value)}; give a list of names, such as [dirt, '*_dirt']")
    return value


def _color(value: Any, where: str) -> Color:
    numbers = as_numbers(value, 3, where)
    if numbers.min() < 0 or numbers.max() > 255:
        raise ValueError(f"{where} is {shown(value)}; give red, green and blue of 0 to 255")
    r, g, b = (numbers / 255).tolist()
    return r, g, b
