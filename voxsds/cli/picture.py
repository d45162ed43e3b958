"""voxsds render."""

from pathlib import Path
from typing import Annotated

import typer

from voxsds.cli.output import print_json
from voxsds.cli.project import AsJson, Force, MapId, Optimized, examples, map_file, palette

EXAMPLES = examples(
    "voxsds render --map 1 hill.png --azimuth 120",
    "voxsds render --map 1 --optimized tower.webp",
    "voxsds render --map 1 --optimized tower.mp4 --seconds 8 --frames 192",
    "voxsds render --map 1 --optimized tower.gif --size 256 --frames 24",
)


def render(
    file: Annotated[
        Path, typer.Argument(help=".png for one view; .gif, .webp or .mp4 (by ffmpeg) for a turn.")
    ],
    map: MapId,
    optimized: Optimized = False,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Width and height, pixels.")] = 512,
    azimuth: Annotated[float, typer.Option(help="Degrees: 0 looks from the east, 90 from the south.")] = 45.0,
    elevation: Annotated[float, typer.Option(min=-89.0, max=89.0, help="Degrees over the horizon.")] = 30.0,
    frames: Annotated[int, typer.Option(min=2, max=720, help="Pictures of a turn.")] = 48,
    seconds: Annotated[float, typer.Option(min=0.1, help="That a turn takes.")] = 4.0,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Draw a map: a picture, or a turn around it."""
    from voxsds.cli.pictures import STILL, write_picture
    from voxsds.files.disk import refuse_to_replace
    from voxsds.world.maps import read_map

    refuse_to_replace([file], force)
    world = read_map(map_file(map, optimized), palette())
    write_picture(file, world, size, azimuth, elevation, frames, seconds)
    if json:
        turn = (1, None) if file.suffix.lower() in STILL else (frames, seconds)
        print_json({"file": str(file), "size": size, "frames": turn[0], "seconds": turn[1]})
    else:
        print(file)
