"""voxsds cameras."""

from typing import Annotated

import typer

from voxsds.cli.output import print_json, warn
from voxsds.cli.project import AsJson, Force, MapId, dataset_folder, examples, map_file, palette, pose_law

EXAMPLES = examples("voxsds cameras --map 3", "voxsds cameras --map 3 --orbit 48 --walk 0 --size 512 --force")


def cameras(
    map: MapId,
    orbit: Annotated[int, typer.Option(min=3, help="Views from all around, in three rings.")] = 24,
    walk: Annotated[int, typer.Option(min=0, help="Views from the height of a person's eyes.")] = 8,
    size: Annotated[
        int, typer.Option(min=16, max=2048, help="Width and height of the images, pixels.")
    ] = 256,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Write cameras that see a map into datasets/ID. Their images are drawn, too."""
    from voxsds.cli.capture import CaptureSettings, capture
    from voxsds.files.disk import refuse_to_replace
    from voxsds.world.maps import read_map

    settings = CaptureSettings(orbit, walk, size)
    world, folder = read_map(map_file(map, optimized=False), palette()), dataset_folder(map)
    refuse_to_replace([folder / "metadata.json"], force)
    made = capture(world, folder, settings, pose_law(), name=f"voxsds-cameras-{map}")
    walks = len(made) - orbit
    if json:
        print_json({"dataset": str(folder), "orbit": orbit, "walk": walks})
    else:
        print(f"{folder}: {orbit} views from around and {walks} from eye height, {size} x {size} pixels")
        print(f"next: dvc exp run -S map_id={map}")
    if walks < walk:
        warn(f"{walk - walks} of the {walk} views from eye height saw too little and were left out")
