"""map.json, strictly: a grid of blocks, what they are made of, and where it stands in the world.

Nothing is guessed and nothing lost: a block that cannot be understood is an error that names it, and keys
that mean nothing to us come back out as they went in.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from voxsds.files.disk import read_json, to_json, write_text
from voxsds.files.expect import as_list, as_object, as_size, is_number, shown
from voxsds.world.cameras import Frame
from voxsds.world.custom_blocks import BlockTypes, read_block_types
from voxsds.world.palette import AIR, Palette

AXES = ("x", "y", "z")
MAX_SIDE = 512  # blocks along an axis
MAX_VOXELS = 256**3  # of a grid: its logits take 36 bytes a voxel, several times over in training
EMPTY_SHAPE = (32, 24, 32)  # of a map without blocks and dimensions
WORLD_SCALE = 2.0  # of a map that names none

Position = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BlockMap:
    """A world of blocks. Block (x, y, z) fills [x, x + 1]^3 of grid space; `frame` leads to the world."""

    blocks: Integer[np.ndarray, "X Y Z"]  # material index into `palette`, 0 = air
    palette: Palette
    frame: Frame
    extra: dict[str, Any] = field(default_factory=dict)  # the file's other keys, as they were
    block_extra: dict[Position, dict[str, Any]] = field(default_factory=dict)  # other keys of single blocks


def with_blocks(world: BlockMap, blocks: Integer[np.ndarray, "X Y Z"]) -> BlockMap:
    """`world` with other blocks in the same grid; keys of blocks that changed go with them."""
    if blocks.shape != world.blocks.shape:
        raise ValueError(
            f"blocks of shape {blocks.shape} do not fit the map's grid {world.blocks.shape}; "
            "give blocks of that size"
        )
    kept = {at: keys for at, keys in world.block_extra.items() if blocks[at] == world.blocks[at]}
    return replace(world, blocks=blocks, block_extra=kept)


def read_map(path: Path | str, palette: Palette) -> BlockMap:
    """The world in a map.json, of the materials of `palette` and of its own customBlocks.

    ValueError names file, block and remedy where it is not one.
    The grid is `worldConfig.dimensions`, else the bounding box from the origin and 10 % more. The world's
    vertical axis goes through `worldConfig.center` where there is one, else the middle of the dimensions,
    else the middle of the bounding box: padding moves no block against the cameras.
    """
    raw = as_object(read_json(path), str(path))
    config = as_object(raw.get("worldConfig", {}), f"{path}: worldConfig")
    as_object(raw.get("metadata", {}), f"{path}: metadata")
    entries = as_list(raw, "blocks", str(path))
    positions = [_position(entry, i, palette, path) for i, entry in enumerate(entries)]
    used = {entry["blockType"] for entry in entries if isinstance(entry["blockType"], str)}
    types = read_block_types(raw.get("customBlocks", []), used, palette, f"{path}: customBlocks")
    shape, box = _grid_shape(config, positions, path)
    blocks = _fill(positions, _materials(entries, types, path), shape, path)
    frame = Frame(_center(config, box, path), _scale(raw, config, path))
    extra = {key: value for key, value in raw.items() if key != "blocks"}
    return BlockMap(blocks, types.palette, frame, extra, _block_extra(entries, positions))


def write_map(path: Path | str, world: BlockMap) -> None:
    """Writes map.json atomically, one block a line in the order of x, y, z: equal worlds, equal bytes."""
    highest, lowest = int(world.blocks.max(initial=0)), int(world.blocks.min(initial=0))
    if lowest < 0 or highest >= len(world.palette):
        raise ValueError(
            f"{path}: blocks hold materials {lowest}..{highest}, but the palette ends at "
            f"{len(world.palette) - 1}; give blocks that index the palette"
        )
    keys = {"sequence": 1, **world.extra, "worldConfig": _world_config(world)}
    if "worldScale" in keys:
        keys["worldScale"] = world.frame.scale
    head = to_json(keys, where=str(path))
    blocks = ",\n".join(_block_lines(world))
    listed = f"[\n{blocks}\n ]" if blocks else "[]"
    write_text(path, f'{head.removesuffix("}").rstrip()},\n "blocks": {listed}\n}}\n')


def _block_lines(world: BlockMap) -> Iterator[str]:
    names = [json.dumps(name, ensure_ascii=False) for name in world.palette.names]
    where = np.argwhere(world.blocks != AIR)
    kinds = world.blocks[world.blocks != AIR]
    for (x, y, z), kind in zip(where.tolist(), kinds.tolist(), strict=True):
        more = world.block_extra.get((x, y, z))
        more = "," + to_json(more, indent=None)[1:-1] if more else ""
        yield f'{{"position":[{x},{y},{z}],"blockType":{names[kind]}{more}}}'


def _world_config(world: BlockMap) -> dict[str, Any]:
    """The map's own worldConfig, with the dimensions, scale and centre that the grid has."""
    config = dict(world.extra.get("worldConfig", {}))
    size = dict(zip(AXES, world.blocks.shape, strict=True))
    config["dimensions"] = {**config.get("dimensions", {}), **size}
    config["worldScale"] = world.frame.scale
    center = config.pop("center", {})
    if world.frame.center != (size["x"] / 2, size["z"] / 2):
        config["center"] = {**center, "x": world.frame.center[0], "z": world.frame.center[1]}
    return config


# Reading, piece by piece. `where` and `path` only go into messages.


def _position(entry: Any, index: int, palette: Palette, path: Path | str) -> Position:
    where, some = f"{path}: block {index}", f'"{palette.names[-1]}"'
    if not isinstance(entry, dict):
        raise ValueError(f'{where} is {shown(entry)}; write {{"position": [x, y, z], "blockType": {some}}}')
    for key, example in (("position", "[x, y, z]"), ("blockType", some)):
        if key not in entry:
            raise ValueError(f'{where} has no {key}; add "{key}": {example}')
    position = entry["position"]
    # bool is a subclass of int, and 3.0 is not an integer in this format.
    if not isinstance(position, list) or [type(c) for c in position] != [int, int, int]:
        raise ValueError(f"{where} has position {shown(position)}; give three integers [x, y, z]")
    return position[0], position[1], position[2]


def _materials(entries: list[dict[str, Any]], types: BlockTypes, path: Path | str) -> list[int]:
    try:
        return [types.index_of[entry["blockType"]] for entry in entries]
    except (KeyError, TypeError):  # an unknown name, or something that cannot be a key: find it
        for i, entry in enumerate(entries):
            kind = entry["blockType"]
            if not isinstance(kind, str) or kind not in types.index_of:
                raise types.unknown(kind, f"{path}: block {i} at {tuple(entry['position'])}") from None
        raise


def _grid_shape(
    config: dict[str, Any], positions: list[Position], path: Path | str
) -> tuple[Position, tuple[int, int]]:
    """Size of the grid, and the width and depth whose middle the world's axis goes through."""
    if "dimensions" in config:
        where = f"{path}: worldConfig.dimensions"
        dimensions = as_object(config["dimensions"], where)
        x, y, z = (as_size(dimensions, axis, where, "blocks") for axis in AXES)
        shape, box = (x, y, z), (x, z)
    elif positions:
        x, y, z = (max(max(axis) + 1, 1) for axis in zip(*positions, strict=True))
        shape, box = (_padded(x), _padded(y), _padded(z)), (x, z)
    else:
        shape, box = EMPTY_SHAPE, (EMPTY_SHAPE[0], EMPTY_SHAPE[2])
    if max(shape) > MAX_SIDE or math.prod(shape) > MAX_VOXELS:
        raise ValueError(
            f"{path}: a grid of {shape} is too large; up to {MAX_SIDE} blocks along an axis and "
            f"{MAX_VOXELS:,} voxels in all can be optimised. Cut the map into pieces, "
            "or set smaller worldConfig.dimensions"
        )
    return shape, box


def _padded(side: int) -> int:
    return side + side // 10  # int(1.1 side), exactly


def _fill(
    positions: list[Position], materials: list[int], shape: Position, path: Path | str
) -> Integer[np.ndarray, "X Y Z"]:
    blocks = np.full(shape, AIR, dtype=np.int64)
    filled: dict[Position, int] = {}
    for i, position in enumerate(positions):
        x, y, z = position
        if not (0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]):
            last = tuple(side - 1 for side in shape)
            raise ValueError(
                f"{path}: block {i} at {position} lies outside the grid (0, 0, 0) to {last}; "
                "remove it or enlarge worldConfig.dimensions"
            )
        if filled.setdefault(position, i) != i:
            raise ValueError(
                f"{path}: block {i} at {position} is where block {filled[position]} is already; "
                "remove one of them"
            )
    if positions:
        blocks[tuple(np.array(positions).T)] = materials
    return blocks


def _center(config: dict[str, Any], box: tuple[int, int], path: Path | str) -> tuple[float, float]:
    """Grid x and z of the world's vertical axis."""
    if "center" not in config:
        return box[0] / 2, box[1] / 2
    center = as_object(config["center"], f"{path}: worldConfig.center")
    for axis in ("x", "z"):
        if not is_number(center.get(axis)):
            found = shown(center.get(axis))
            raise ValueError(f"{path}: worldConfig.center.{axis} is {found}; give a coordinate in blocks")
    return float(center["x"]), float(center["z"])


def _scale(raw: dict[str, Any], config: dict[str, Any], path: Path | str) -> float:
    """World units per block, which may stand in worldConfig or at the top."""
    scales = {
        name: holder["worldScale"]
        for name, holder in (("worldConfig.worldScale", config), ("worldScale", raw))
        if "worldScale" in holder
    }
    for name, scale in scales.items():
        if not is_number(scale) or scale <= 0:
            raise ValueError(
                f"{path}: {name} is {shown(scale)}; give the size of a block, over 0 (usual: 2.0)"
            )
    if len(set(scales.values())) > 1:
        both = " and ".join(f"{name} is {scale}" for name, scale in scales.items())
        raise ValueError(f"{path}: {both}; remove one of them")
    return float(next(iter(scales.values()), WORLD_SCALE))


def _block_extra(entries: list[dict[str, Any]], positions: list[Position]) -> dict[Position, dict[str, Any]]:
    return {
        position: {key: value for key, value in entry.items() if key not in ("position", "blockType")}
        for entry, position in zip(entries, positions, strict=True)
        if len(entry) > 2
    }
