"""Block states, as text and as the compounds of Minecraft's files.

minecraft:oak_log[axis=y] is {Name: minecraft:oak_log, Properties: {axis: y}}.
"""

from typing import Any

import numpy as np

from voxsds.formats.build import MAX_KINDS, Kind
from voxsds.formats.nbt import field
from voxsds.formats.tags import Compound

# Blocks we write exist since 1.13. Programs bring older data up to date, and few take newer data than their
# own: 1.16.5 is read by all that read the formats of today.
DATA_VERSION = np.int32(2586)


def read_palette(entries: list[Any], where: str) -> tuple[Kind, ...]:
    """The kinds of blocks in a list of compounds."""
    if len(entries) > MAX_KINDS:
        raise ValueError(f"{where} has {len(entries)} kinds of blocks; up to {MAX_KINDS} can be read")
    return tuple(_kind(entry, f"{where}[{i}]") for i, entry in enumerate(entries))


def _kind(entry: Any, where: str) -> Kind:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is no compound with a Name; save the build again")
    name = field(entry, "Name", str, where)
    properties = field(entry, "Properties", dict, where) if "Properties" in entry else {}
    listed = ",".join(f"{key}={value}" for key, value in sorted(properties.items()))
    return Kind(f"{name}[{listed}]" if listed else name)


def palette_tags(kinds: tuple[Kind, ...]) -> list[Compound]:
    """The inverse of `read_palette`."""
    return [_compound(kind.name) for kind in kinds]


def _compound(state: str) -> Compound:
    name, _, listed = state.removesuffix("]").partition("[")
    if not listed:
        return {"Name": name}
    pairs = (pair.partition("=") for pair in listed.split(","))
    return {"Name": name, "Properties": {key: value for key, _, value in pairs}}


def extras(compound: Compound, keys: dict[str, str]) -> tuple[str, ...]:
    """For people: how many of each of `keys` (key in the file: what it is) a grid of blocks leaves out."""
    counts = {what: len(compound[key]) for key, what in keys.items() if isinstance(compound.get(key), list)}
    return tuple(f"{count} {what}" for what, count in counts.items() if count)
