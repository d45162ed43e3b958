"""voxsds import, voxsds export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxsds.cli.output import print_json, print_table, warn
from voxsds.cli.project import (
    AsJson,
    Force,
    MapId,
    Optimized,
    dataset_folder,
    examples,
    map_file,
    map_folder,
    palette,
)

if TYPE_CHECKING:
    from voxsds.formats.build import Box
    from voxsds.formats.exchange import Imported, Match

IMPORT_EXAMPLES = examples(
    "voxsds import castle.schem --map 3",
    "voxsds import city.litematic --map city --crop 0,60,0,128,124,128",
    "voxsds import robot.vox --map 4 --pad 8 --blocks my-blocks.yaml",
)
EXPORT_EXAMPLES = examples(
    "voxsds export --map 3 --optimized castle-new.schem",
    "voxsds export --map 3 --optimized castle-new.nbt     (pieces of up to 48 blocks a side)",
    "voxsds export --map 1 hill.glb",
)
Blocks = Annotated[
    Path | None,
    typer.Option(metavar="YAML", help="Own table of blocks and materials, asked before the built-in one."),
]


def parse_box(text: str) -> "Box":
    """x0,y0,z0,x1,y1,z1 as a box; BadParameter, which is wrong usage, for anything else."""
    from voxsds.formats.build import Box

    try:
        x0, y0, z0, x1, y1, z1 = (int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not six whole numbers x0,y0,z0,x1,y1,z1") from None
    return Box((x0, y0, z0), (x1, y1, z1))


def import_build(
    file: Annotated[Path, typer.Argument(help=".schem, .litematic, .nbt, .vox, or a map.json.")],
    map: MapId,
    crop: Annotated[
        str | None,
        typer.Option(metavar="x0,y0,z0,x1,y1,z1", help="Only this part, the second corner not included."),
    ] = None,
    pad: Annotated[int, typer.Option(min=0, help="Layers of air at the sides and above, to build in.")] = 0,
    blocks: Blocks = None,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Bring a build in as maps/ID/map.json. What each of its blocks became is said."""
    box = parse_box(crop) if crop else None
    from voxsds.files.disk import refuse_to_replace
    from voxsds.formats.exchange import import_world
    from voxsds.formats.mapping import read_mapping
    from voxsds.world.maps import write_map

    target = map_folder(map) / "map.json"
    refuse_to_replace([target], force)
    imported = import_world(file, read_mapping(palette(), blocks), box, pad)
    write_map(target, imported.world)
    if json:
        print_json(_as_json(target, imported))
    else:
        _print_import(file, target, imported, map)
    if wanted := room_wanted(imported.world.blocks.shape):
        warn(f"the build is higher than wide, and views of a run go round at 1.3 to 1.65 widths: "
             f"some of it will be out of sight. --pad {pad + wanted} --force gives it room")  # fmt: skip


def room_wanted(shape: tuple[int, ...]) -> int:
    """Layers of air, at the four sides and above, after which a world is no higher than wide.

    y + n <= w + 2 n from n = y - w on: 10 x 24 x 8 wants 14.
    """
    return max(0, shape[1] - max(shape[0], shape[2]))


def _as_json(target: Path, imported: "Imported") -> dict[str, Any]:
    blocks = imported.world.blocks
    return {
        "map": str(target),
        "dimensions": list(blocks.shape),
        "blocks": int((blocks > 0).sum()),
        "became": [match._asdict() for match in imported.matches],
        "notes": list(imported.notes),
    }


def _print_import(file: Path, target: Path, imported: "Imported", map_id: str) -> None:
    blocks = imported.world.blocks
    _print_matches(imported.matches)
    for note in imported.notes:
        print(note)
    x, y, z = blocks.shape
    print(f"\n{target}: {int((blocks > 0).sum()):,} blocks in {x} x {y} x {z}, from {file.name}")
    cameras = "" if (dataset_folder(map_id) / "metadata.json").is_file() else " (it has no cameras yet)"
    print(f"next{cameras}: voxsds cameras --map {map_id}{' --force' * (not cameras)}")


def _print_matches(matches: "tuple[Match, ...]") -> None:
    if matches:
        rows = [(m.block, f"{m.count:,}", m.became, m.how) for m in matches]
        print_table(("block", "count", "became", "by"), rows, numbers=(1,))
    if unknown := sum(match.count for match in matches if match.how == "unknown"):
        warn(f"{unknown:,} blocks are of kinds that nothing is known of; say what they are with --blocks")


def export_map(
    file: Annotated[Path, typer.Argument(help=".schem, .litematic, .nbt, .vox, .glb or .json.")],
    map: MapId,
    optimized: Optimized = False,
    sponge: Annotated[int, typer.Option(min=2, max=3, help="Version of a .schem; all read 2.")] = 2,
    blocks: Blocks = None,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Write a map as a file that other programs open."""
    from voxsds.formats.exchange import export_world
    from voxsds.formats.mapping import read_mapping
    from voxsds.world.maps import read_map

    materials = palette()
    world, mapping = read_map(map_file(map, optimized), materials), read_mapping(materials, blocks)
    exported = export_world(file, world, mapping, sponge, force)
    if json:
        matches = [match._asdict() for match in exported.matches]
        print_json({"files": [str(path) for path in exported.files], "became": matches})
        return
    _print_matches(exported.matches)
    for path in exported.files:
        print(path)
