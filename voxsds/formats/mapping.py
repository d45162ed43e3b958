"""Materials of a palette for the blocks of another program: tables, then colours, then what is left.

blocks.yaml beside this file is a table of what a palette makes of blocks that it has no row for; a person's
own of the same form is asked before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from voxsds.files.disk import read_yaml
from voxsds.files.expect import as_numbers, as_object, listed, shown
from voxsds.formats.build import Kind
from voxsds.world.palette import AIR, SIDE, TOP, Palette

TABLE = Path(__file__).with_name("blocks.yaml")
AIR_STATE = "minecraft:air"
SECTIONS = ("write", "read", "colors", "otherwise")

How = Literal["same", "table", "colour", "unknown"]  # same: the block is a material of ours already
Color = tuple[float, float, float]  # 0..1 as displayed
GREY: Color = (0.5, 0.5, 0.5)


class Choice(NamedTuple):
    """The material for a kind of block, and what it was chosen by."""

    material: int
    how: How


@dataclass(frozen=True, eq=False)
class Mapping:
    """The first rule that matches a name holds; names are without `minecraft:` and properties."""

    palette: Palette  # of the materials that blocks become
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
        return Choice(nearest_material(color, self.palette), "colour")

    def state_of(self, palette: Palette, material: int) -> tuple[str, How]:
        """The block state for a material; for one that has none, that of the nearest colour.

        ValueError where no material has one.
        """
        name = palette.names[material]
        if material == AIR or name in self.states:
            return self.states.get(name, AIR_STATE), "table"
        stated = [i for i, other in enumerate(self.palette.names) if i != AIR and other in self.states]
        if not stated:
            raise ValueError("no material of the palette has a block state; give some a `state` in its file")
        r, g, b = palette.albedo[material, TOP].tolist()
        return self.states[self.palette.names[nearest_material((r, g, b), self.palette, stated)]], "colour"


def base_name(state: str) -> str:
    """oak_log of minecraft:oak_log[axis=y]; names of mods keep the mod's."""
    return state.partition("[")[0].removeprefix("minecraft:")


def nearest_material(color: Color, palette: Palette, among: Sequence[int] | None = None) -> int:
    """The material, `among` these or of all but air, with a top or a side nearest to `color` in CIELAB."""
    materials = list(range(1, len(palette)) if among is None else among)
    faces = lab(palette.albedo[materials][:, [TOP, SIDE]])
    distance = np.linalg.norm(faces - lab(np.array(color)), axis=-1).min(axis=1)
    return materials[int(np.argmin(distance))]


def lab(rgb: Float[np.ndarray, "*colors 3"]) -> Float[np.ndarray, "*colors 3"]:
    """CIELAB (D65) of sRGB colours 0..1; white is (100, 0, 0)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    xyz = linear @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def read_mapping(palette: Palette, own: Path | None = None) -> Mapping:
    """The mapping that asks in turn the file `own`, the states of `palette`, and the shipped table.

    Rows of the shipped table for materials that the palette lacks are left out. ValueError where a file is
    not as it must be.
    """
    mine = _Table((), {}, (), None) if own is None else _table(own, palette, strict=True)
    shipped = _table(TABLE, palette, strict=False)
    stated = ((base_name(state), palette.index(name)) for name, state in palette.states.items())
    otherwise = shipped.otherwise if mine.otherwise is None else mine.otherwise
    return Mapping(
        palette=palette,
        states={**palette.states, **mine.states},
        rules=(*mine.rules, *stated, *shipped.rules),
        colors=mine.colors + shipped.colors,
        otherwise=nearest_material(GREY, palette) if otherwise is None else otherwise,
    )


class _Table(NamedTuple):
    """A file of the form of blocks.yaml."""

    rules: tuple[tuple[str, int], ...]
    states: dict[str, str]
    colors: tuple[tuple[str, Color], ...]
    otherwise: int | None


def _table(path: Path, palette: Palette, strict: bool) -> _Table:
    """The file; one that is not `strict` may name materials that the palette lacks, and says nothing then."""
    raw = as_object(read_yaml(path), str(path))
    if unknown := [key for key in raw if key not in SECTIONS]:
        raise ValueError(f"{path}: {unknown[0]!r} is none of the sections {', '.join(SECTIONS)}; rename it")
    states = as_object(raw.get("write", {}), f"{path}: write")
    for name, state in states.items():
        if not isinstance(state, str) or not state:
            raise ValueError(f"{path}: write.{name} is {shown(state)}; give a block such as {AIR_STATE}")
    rules = [
        (pattern, material)
        for name, patterns, where in _entries(raw, "read", path)
        if (material := _material(name, palette, strict, where)) is not None
        for pattern in _patterns(patterns, where)
    ]
    colors = [(pattern, _color(value, where)) for pattern, value, where in _entries(raw, "colors", path)]
    otherwise = None
    if "otherwise" in raw:
        otherwise = _material(raw["otherwise"], palette, strict, f"{path}: otherwise")
    return _Table(tuple(rules), states, tuple(colors), otherwise)


def _entries(raw: dict[str, Any], section: str, path: Path) -> list[tuple[Any, Any, str]]:
    """Key, value and place of each of a list of single pairs, whose order counts."""
    listed, entries = raw.get(section, []), []
    if not isinstance(listed, list):
        raise ValueError(f"{path}: {section} is {shown(listed)}; write a list, one `- key: value` a line")
    for i, entry in enumerate(listed):
        pair = as_object(entry, f"{path}: {section}[{i}]")
        entries += [(key, value, f"{path}: {section}[{i}]") for key, value in pair.items()]
    return entries


def _material(name: Any, palette: Palette, strict: bool, where: str) -> int | None:
    """Index of a material; None for one that the palette lacks, which is an error where it is `strict`."""
    if name in palette.names:
        return palette.index(name)
    if not strict:
        return None
    known = listed(palette.names)
    raise ValueError(f"{where}: {name!r} is none of the materials {known}; name one of these")


def _patterns(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        raise ValueError(f"{where} is {shown(value)}; give a list of names, such as [oak_log, '*_log']")
    return value


def _color(value: Any, where: str) -> Color:
    numbers = as_numbers(value, 3, where)
    if numbers.min() < 0 or numbers.max() > 255:
        raise ValueError(f"{where} is {shown(value)}; give red, green and blue of 0 to 255")
    r, g, b = (numbers / 255).tolist()
    return r, g, b
