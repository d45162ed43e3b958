"""Worlds from and to the files of other programs, with an account of what became of what."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from voxsds.files.disk import refuse_to_replace
from voxsds.formats import litematic, sponge, structure, vox
from voxsds.formats.build import Box, Build, Kind, Shape, bounding_box, cropped, joined_kinds
from voxsds.formats.mapping import Choice, How, Mapping, base_name
from voxsds.world.cameras import Frame
from voxsds.world.maps import MAX_SIDE, MAX_VOXELS, BlockMap, read_map, write_map
from voxsds.world.palette import AIR, TOP, Palette

FORMATS = (".schem", ".litematic", ".nbt", ".vox")  # of other programs, each a case of `format_of`
READ = (*FORMATS, ".json")
WRITTEN = (*FORMATS, ".glb", ".json")


class Match(NamedTuple):
    """A kind of block, and what it became."""

    block: str
    count: int
    became: str
    how: How


@dataclass(frozen=True, eq=False)
class Imported:
    """A world from another program's file, and what people should know of how it came here."""

    world: BlockMap
    matches: tuple[Match, ...]  # most blocks first; what counts as air is among them
    notes: tuple[str, ...]  # what was cut off or left out


@dataclass(frozen=True, eq=False)
class Exported:
    """Files that were written, and what each block became in them."""

    files: tuple[Path, ...]
    matches: tuple[Match, ...]


@runtime_checkable
class Format(Protocol):
    """Functions of a format's module."""

    def read(self, path: Path) -> Build:
        """The build in a file; ValueError that names it and the remedy where it is not sound."""
        ...

    def write(self, path: Path, build: Build) -> list[Path]:
        """Writes a build atomically; the files that it became, of which most formats have one."""
        ...


def import_world(path: Path, mapping: Mapping, crop: Box | None = None, pad: int = 0) -> Imported:
    """The world in a file of one of the formats `READ`; ValueError with the remedy where there is none.

    `crop` cuts a part out; a build over the limits loses the air around it, and is refused if that does
    not do. `pad` then adds that many layers of air at the four sides and above, room to build in.
    """
    if path.suffix.lower() == ".json":
        return _from_map(read_map(path, mapping.palette), path, crop, pad)
    build = format_of(path).read(path)
    choices = [mapping.material_of(kind) for kind in build.kinds]
    return _placed(build, choices, mapping.palette, path, crop, pad)


def export_world(
    path: Path, world: BlockMap, mapping: Mapping, sponge_version: int = 2, replace: bool = False
) -> Exported:
    """Writes `world` in the format of the suffix, one of `WRITTEN`; .nbt may become several files.

    ValueError, and nothing is written, where a file is there already that may not be replaced.
    """
    refuse_to_replace(_files_in_the_way(path, world.blocks.shape), replace)
    match path.suffix.lower():
        case ".json":
            write_map(path, world)
            return Exported((path,), ())
        case ".glb":
            from voxsds.formats import glb  # trimesh takes a second to import

            glb.write(path, world)
            return Exported((path,), ())
        case ".vox":
            return Exported(tuple(vox.write(path, _coloured(world))), ())
        case ".schem":
            build, matches = _as_states(world, mapping)
            return Exported(tuple(sponge.write(path, build, sponge_version)), matches)
        case suffix if suffix in FORMATS:
            build, matches = _as_states(world, mapping)
            return Exported(tuple(format_of(path).write(path, build)), matches)
    raise ValueError(f"{path}: worlds are written as {', '.join(WRITTEN)}; choose one of these")


def _files_in_the_way(path: Path, shape: Shape) -> list[Path]:
    """Files that an export to `path` writes or removes."""
    if path.suffix.lower() != ".nbt":
        return [path]
    return [*structure.files_of(path, shape), *structure.pieces_beside(path.parent, path.stem)]


def format_of(path: Path) -> Format:
    """The format of another program that the suffix names; ValueError where none does."""
    match path.suffix.lower():
        case ".schem":
            return sponge
        case ".litematic":
            return litematic
        case ".nbt":
            return structure
        case ".vox":
            return vox
        case ".schematic":
            raise ValueError(
                f"{path}: schematics from before Minecraft 1.13 are not read; load it in a newer WorldEdit "
                "and save it as .schem"
            )
    raise ValueError(f"{path}: builds are read from {', '.join(READ)}; save it as one of these")


def _from_map(world: BlockMap, path: Path, crop: Box | None, pad: int) -> Imported:
    """A map of ours as it is, or a part of it, which keeps the keys that do not depend on the grid."""
    notes = (f"the own keys of {len(world.block_extra)} blocks",) if world.block_extra else ()
    build = Build(world.blocks.astype(np.uint16), tuple(map(Kind, world.palette.names)), notes)
    same = [Choice(material, "same") for material in range(len(world.palette))]
    if crop is None and not pad:
        return Imported(world, _matches(build, world.palette, same), ())
    part = _placed(build, same, world.palette, path, crop, pad)
    extra = {key: value for key, value in world.extra.items() if key not in ("worldConfig", "worldScale")}
    frame = replace(part.world.frame, scale=world.frame.scale)
    return replace(part, world=replace(part.world, frame=frame, extra=extra))


def _placed(
    build: Build, choices: list[Choice], palette: Palette, path: Path, crop: Box | None, pad: int
) -> Imported:
    """The build as a world whose vertical axis goes through the middle of its grid."""
    build = build if crop is None else cropped(build, crop)
    table = np.array([choice.material for choice in choices], np.uint16)
    blocks, notes = _within_limits(table[build.cells], path)
    x, y, z = blocks.shape
    wide = (x + 2 * pad, y + pad, z + 2 * pad)
    _check_limits(wide, f"{path} with {pad} layers of air around it", "Give a smaller --pad")
    blocks = np.pad(blocks, ((pad, pad), (0, pad), (pad, pad))).astype(np.int64)
    world = BlockMap(blocks, palette, Frame((wide[0] / 2, wide[2] / 2)), {"sequence": 1})
    left_out = tuple(f"left out: {note}" for note in build.notes)
    return Imported(world, _matches(build, palette, choices), notes + left_out)


def _matches(build: Build, palette: Palette, choices: list[Choice]) -> tuple[Match, ...]:
    """One line for all states of a block, since properties change no material."""
    counts: Counter[tuple[str, int, How]] = Counter()
    numbers = np.bincount(build.cells.reshape(-1), minlength=len(build.kinds))
    for kind, (material, how), count in zip(build.kinds, choices, numbers.tolist(), strict=True):
        counts[base_name(kind.name), material, how] += count
    return tuple(
        Match(name, count, palette.names[material], how)
        for (name, material, how), count in counts.most_common()
        if count
    )


def _within_limits(
    blocks: Integer[np.ndarray, "X Y Z"], path: Path
) -> tuple[Integer[np.ndarray, "x y z"], tuple[str, ...]]:
    """The blocks, and a note if the air around them had to go; ValueError where none or too many are left."""
    box = bounding_box(blocks != AIR)
    if box is None:
        raise ValueError(f"{path}: no block of it is left, all count as air; see `read` of the mapping file")
    if _fits(blocks.shape):
        return blocks, ()
    corner, end = (",".join(map(str, at)) for at in (box.low, box.high))
    largest = ",".join(str(low + min(side, 256)) for low, side in zip(box.low, box.shape, strict=True))
    advice = f"Cut out a part, such as --crop {corner},{largest}"
    _check_limits(box.shape, f"{path}, without the air around it,", advice)
    x, y, z = (slice(low, high) for low, high in zip(box.low, box.high, strict=True))
    note = f"trimmed the air around the blocks: kept {corner} to {end} of {_sides(blocks.shape)}"
    return blocks[x, y, z], (note,)


def _fits(shape: tuple[int, ...]) -> bool:
    return max(shape) <= MAX_SIDE and int(np.prod(shape)) <= MAX_VOXELS


def _check_limits(shape: tuple[int, ...], what: str, remedy: str) -> None:
    if not _fits(shape):
        raise ValueError(
            f"{what} is {_sides(shape)} = {int(np.prod(shape)):,} blocks; up to {MAX_SIDE} along an axis and "
            f"{MAX_VOXELS:,} in all can be optimised. {remedy}"
        )


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _as_states(world: BlockMap, mapping: Mapping) -> tuple[Build, tuple[Match, ...]]:
    """The world in block states; different materials may become the same."""
    states = [mapping.state_of(world.palette, material) for material in range(len(world.palette))]
    index_of: dict[Kind, int] = {}
    table = joined_kinds(index_of, tuple(Kind(state) for state, _ in states), "the map")
    numbers = np.bincount(world.blocks.reshape(-1), minlength=len(world.palette)).tolist()
    matches = tuple(
        Match(name, count, state, how)
        for name, count, (state, how) in zip(world.palette.names, numbers, states, strict=True)
        if count
    )
    return Build(table[world.blocks], tuple(index_of)), matches


def _coloured(world: BlockMap) -> Build:
    """The world in the colours of the tops of its materials, which it is recognised by when read again."""
    tops = [(r, g, b) for r, g, b in world.palette.albedo[1:, TOP].tolist()]
    kinds = (vox.EMPTY, *(Kind(name, top) for name, top in zip(world.palette.names[1:], tops, strict=True)))
    return Build(world.blocks.astype(np.uint16), kinds)
