"""Minecraft's own structures (.nbt): what structure blocks and /place template load.

A structure block loads up to 48 blocks along an axis, so a larger world becomes pieces, castle.0.0.48.nbt
holding what begins at (0, 0, 48) of castle.nbt. A piece says so itself, in a tag that the game passes over:
somebody's castle.1.20.1.nbt is no piece, whatever its name. Positions that a file does not list are left as
they are.
"""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from voxsds.formats.build import Build, Kind, Shape, check_shape, joined_kinds
from voxsds.formats.nbt import field, read_nbt
from voxsds.formats.nbtwriter import write_nbt
from voxsds.formats.states import DATA_VERSION, extras, palette_tags, read_palette
from voxsds.formats.tags import Compound

SIDE = 48  # blocks of a piece
MAX_PIECES = 1024
VOID = Kind("minecraft:structure_void")
MARK = "voxsds:piece"  # the tag of a piece: x, y and z at which it begins
_PIECE = re.compile(r"(?P<stem>.+)\.(?P<x>\d{1,5})\.(?P<y>\d{1,5})\.(?P<z>\d{1,5})\.nbt")


def read(path: Path) -> Build:
    """The build in a structure file; of a piece, the whole that it is a piece of."""
    offsets = {path: (0, 0, 0)}
    if match := _PIECE.fullmatch(path.name):
        offsets |= pieces_beside(path.parent, match["stem"]) if _begins_at(path, match) else {}
    if len(offsets) > MAX_PIECES:
        raise ValueError(f"{path}: one of {len(offsets)} pieces; up to {MAX_PIECES} can be read together")
    return _joined([(_piece(piece), offset) for piece, offset in sorted(offsets.items())], path)


def pieces_beside(folder: Path, stem: str) -> dict[Path, Shape]:
    """The pieces of `stem`.nbt in `folder` that `write` made, and where in it they begin."""
    matches = {file: _PIECE.fullmatch(file.name) for file in folder.glob("*.nbt")}
    begins = {
        file: _begins_at(file, match) for file, match in matches.items() if match and match["stem"] == stem
    }
    return {file: at for file, at in begins.items() if at is not None}


def _begins_at(path: Path, name: re.Match) -> Shape | None:
    """Place at which a piece begins, as its name and its mark agree; None for a file that is no piece."""
    at = int(name["x"]), int(name["y"]), int(name["z"])
    if any(place % SIDE for place in at):
        return None
    try:
        mark = read_nbt(path).get(MARK)
    except ValueError:
        return None
    return at if isinstance(mark, np.ndarray) and mark.tolist() == list(at) else None


def _joined(pieces: list[tuple[Build, Shape]], path: Path) -> Build:
    x, y, z = np.max([np.add(piece.cells.shape, offset) for piece, offset in pieces], axis=0).tolist()
    cells = np.zeros(check_shape((x, y, z), str(path)), np.uint16)
    index_of, notes = {VOID: 0}, ()
    for piece, offset in pieces:
        table = joined_kinds(index_of, piece.kinds, str(path))
        part = tuple(slice(a, a + b) for a, b in zip(offset, piece.cells.shape, strict=True))
        cells[part] = table[piece.cells]
        notes += piece.notes
    joined = (f"{len(pieces)} pieces read as one",) if len(pieces) > 1 else ()
    return Build(cells, tuple(index_of), joined + notes)


def _piece(path: Path) -> Build:
    root = read_nbt(path)
    x, y, z = _numbers(root, "size", str(path))
    cells = np.zeros(check_shape((x, y, z), str(path)), np.uint16)
    palette, notes = _palette(root, path)
    states, positions, notes_of_blocks = _blocks(root.get("blocks"), path)
    if len(states):
        if states.min() < 0 or states.max() >= len(palette):
            raise ValueError(f"{path}: blocks have states {states.min()} to {states.max()}, the palette has "
                             f"0 to {len(palette) - 1}; save the build again")  # fmt: skip
        if positions.min() < 0 or (positions >= (x, y, z)).any():
            raise ValueError(f"{path}: a block lies outside the size {(x, y, z)}; save the build again")
        cells[tuple(positions.T)] = states + 1
    notes += notes_of_blocks + extras(root, {"entities": "entities"})
    return Build(cells, (VOID, *palette), notes)


def _palette(root: Compound, path: Path) -> tuple[tuple[Kind, ...], tuple[str, ...]]:
    """Shipwrecks have several palettes, of which the game takes one at random: the first is ours."""
    if "palettes" not in root:
        entries = field(root, "palette", list, str(path))
        return read_palette(entries, f"{path}: palette"), ()
    choices = field(root, "palettes", list, str(path))
    if not choices or not isinstance(choices[0], list):
        raise ValueError(f"{path}: palettes holds no list of block states; save the build again")
    unused = (f"{len(choices) - 1} other palettes",) if len(choices) > 1 else ()
    return read_palette(choices[0], f"{path}: palettes[0]"), unused


def _blocks(
    blocks: Any, path: Path
) -> tuple[Integer[np.ndarray, " n"], Integer[np.ndarray, "n 3"], tuple[str, ...]]:
    """State and position of every block, read as rows where none has anything more."""
    try:
        if isinstance(blocks, np.ndarray):
            return blocks["state"], blocks["pos"].reshape(len(blocks), 3), ()
        states = np.array([entry["state"] for entry in blocks], np.int32)
        positions = np.array([entry["pos"] for entry in blocks], np.int32).reshape(len(blocks), 3)
        entities = sum("nbt" in entry for entry in blocks)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{path}: blocks is no list of a state and three whole numbers of pos; save the build again"
        ) from None
    note = f"{entities} block entities (contents of chests, texts of signs, ...)"
    return states, positions, (note,) if entities else ()


def _numbers(root: Compound, key: str, where: str) -> Shape:
    numbers = field(root, key, list, where)
    if len(numbers) != 3 or not all(isinstance(number, np.integer) for number in numbers):
        raise ValueError(f"{where}: {key} is not three whole numbers; save the build again")
    x, y, z = (int(number) for number in numbers)
    return x, y, z


def files_of(path: Path, shape: Shape) -> dict[Path, Shape]:
    """The files that a build of this shape becomes, and where in it they begin: `path` itself, or pieces."""
    if max(shape) <= SIDE:
        return {path: (0, 0, 0)}
    corners = itertools.product(*(range(0, side, SIDE) for side in shape))
    return {path.with_name(f"{path.stem}.{x}.{y}.{z}.nbt"): (x, y, z) for x, y, z in corners}


def write(path: Path, build: Build) -> list[Path]:
    """Writes one file, or pieces beside it; pieces that an earlier, larger world left are removed."""
    stale, files = set(pieces_beside(path.parent, path.stem)), files_of(path, build.cells.shape)
    for file, (x, y, z) in files.items():
        part = Build(build.cells[x : x + SIDE, y : y + SIDE, z : z + SIDE], build.kinds)
        _write_piece(file, part, {MARK: np.array([x, y, z], np.int32)} if len(files) > 1 else {})
    for file in stale - set(files):
        file.unlink()
    return list(files)


def _write_piece(path: Path, build: Build, mark: Compound) -> None:
    blocks = np.empty(build.cells.size, [("pos", np.int32, (3,)), ("state", np.int32)])
    blocks["pos"] = np.moveaxis(np.indices(build.cells.shape), 0, -1).reshape(-1, 3)
    blocks["state"] = build.cells.reshape(-1)
    root = {
        "DataVersion": DATA_VERSION,
        "size": [np.int32(side) for side in build.cells.shape],
        "palette": palette_tags(build.kinds),
        "blocks": blocks,
        "entities": [],
        **mark,
    }
    write_nbt(path, root)
