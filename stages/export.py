"""Stage export: the trained grid as plain blocks in maps/<id>/map_optimized.json, and without the cleanup."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from voxsds.blocks.limits import EditSettings, limits_of
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.disk import write_bytes, write_json
from voxsds.files.params import read_params, read_section
from voxsds.grid.file import read_grid
from voxsds.world.maps import BlockMap, read_map, with_blocks, write_map
from voxsds.world.snapshots import packed

OUT = Path("out_local")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    params = read_params(parser.parse_args().params)
    settings = read_section(params, "export", ExportSettings)
    folder = Path(f"maps/{params['map_id']}")
    world = read_map(folder / "map.json")
    trained = read_grid(OUT / "model")
    limits = limits_of(read_section(params, "edit", EditSettings), world.blocks, world.palette)
    blocks, counts = export_blocks(trained.grid, trained.reach, world.blocks, settings, limits)
    print("export:", ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in asdict(counts).items()))
    if counts.floating:
        print(
            f"warning: {counts.floating} blocks float: in the map too, or export.floating is keep",
            file=sys.stderr,
        )
    untidied, _ = export_blocks(trained.grid, trained.reach, world.blocks, settings.untidied, limits)
    write_json(OUT / "export" / "export.json", asdict(counts))
    write_bytes(OUT / "export" / "untidied.npz", packed(untidied))
    write_map(folder / "map_optimized.json", _told(with_blocks(world, blocks), trained.run))


def _told(result: BlockMap, run: Mapping[str, Any]) -> BlockMap:
    """`result` with what the training says of itself in its metadata."""
    known = result.extra.get("metadata")
    metadata = {**(known if isinstance(known, dict) else {}), **run}
    return replace(result, extra={**result.extra, "metadata": metadata})


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"export: {error}")
