"""Block types by name: the materials of a palette, and those that a map defines in customBlocks."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from voxsds.files.expect import as_object, listed, nearest, shown
from voxsds.world.palette import Palette, as_color


class BlockTypes(NamedTuple):
    """A palette, and the material index of every name that a block may go by in the file."""

    palette: Palette
    index_of: dict[str, int]

    def unknown(self, kind: Any, where: str) -> ValueError:
        """The error for a block whose type is not among these; it names the nearest one that is."""
        if not isinstance(kind, str):
            some = self.palette.names[-1]
            return ValueError(
                f'{where} has blockType {shown(kind)}; give a name such as "blockType": "{some}"'
            )
        return ValueError(
            f"{where} has blockType {kind!r}; known types are {listed(self.palette.names)}. "
            f"Did you mean {nearest(kind, self.index_of)!r}? Other types must be defined in customBlocks"
        )


def read_block_types(
    custom: Any,  # the file's customBlocks
    used: Collection[Any],  # every blockType in the file
    palette: Palette,
    where: str,
) -> BlockTypes:
    """The materials of `palette` and then those of `custom`; ValueError where one is not as it must be.

    A block may call a custom type by name or by id; the palette has the one that the blocks use, so that
    they are written as they were read.
    """
    if not isinstance(custom, list):
        raise ValueError(f"{where} is {shown(custom)}; it must be a list [...]")
    index_of = {name: index for index, name in enumerate(palette.names)}
    names, albedo = [], []
    for i, entry in enumerate(custom):
        place = f"{where}[{i}]"
        block = as_object(entry, place)
        aliases = _aliases(block, place)
        for alias in aliases:
            if alias in index_of:
                raise ValueError(f"{place} is called {alias!r}, which is taken; give it another name or id")
        index_of.update(dict.fromkeys(aliases, len(palette) + i))
        names.append(next((alias for alias in aliases if alias in used), aliases[0]))
        albedo.append(_albedo(block, f"{place} {names[-1]!r}"))
    if not names:
        return BlockTypes(palette, index_of)
    return BlockTypes(palette.extended(tuple(names), np.array(albedo)), index_of)


def _aliases(block: dict[str, Any], where: str) -> list[str]:
    """Name and id of a custom block, without repetition."""
    aliases = [block[key] for key in ("name", "id") if isinstance(block.get(key), str) and block[key]]
    if not aliases:
        raise ValueError(f'{where} has neither a name nor an id in words; add "name": "Brick"')
    return list(dict.fromkeys(aliases))


def _albedo(block: dict[str, Any], where: str) -> list[np.ndarray]:
    colors = as_object(block.get("colors"), f"{where}: colors")
    return [as_color(colors.get(slot), f"{where}: colors.{slot}") for slot in ("top", "bottom", "side")]
