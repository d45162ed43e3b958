"""Stage export: the trained grid as plain blocks in maps/<id>/map_optimized.json, and without the cleanup."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stages.running import run_stage
from voxsds.blocks.limits import EditSettings, limits_of
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.disk import write_bytes, write_json
from voxsds.files.outputs import Outputs
from voxsds.files.params import read_section
from voxsds.grid.file import read_grid
from voxsds.world.maps import BlockMap, read_map, with_blocks, write_map
from voxsds.world.palette import read_palette
from voxsds.world.snapshots import packed


def main(params: dict[str, Any]) -> None:
    """Writes the blocks of the trained grid within the limits of the edit."""
    out = Outputs()
    settings = read_section(params, "export", ExportSettings)
    folder = Path(f"maps/{params['map_id']}")
    world = read_map(folder / "map.json", read_palette(params["palette"]))
    trained = read_grid(out.model)
    limits = limits_of(read_section(params, "edit", EditSettings), world.blocks, world.palette)
    blocks, counts = export_blocks(trained.grid, trained.reach, world.blocks, settings, limits)
    print("export:", ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in asdict(counts).items()))
    if counts.floating:
        print(
            f"warning: {counts.floating} blocks float: in the map too, or export.floating is keep",
            file=sys.stderr,
        )
    write_json(out.export_counts, asdict(counts))
    untidied, _ = export_blocks(trained.grid, trained.reach, world.blocks, settings.untidied, limits)
    write_bytes(out.untidied, packed(untidied))
    write_map(folder / "map_optimized.json", _told(with_blocks(world, blocks), trained.run))


def _told(result: BlockMap, run: Mapping[str, Any]) -> BlockMap:
    """`result` with what the training says of itself in its metadata."""
    known = result.extra.get("metadata")
    metadata = {**(known if isinstance(known, dict) else {}), **run}
    return replace(result, extra={**result.extra, "metadata": metadata})


if __name__ == "__main__":
    run_stage("export", main)
