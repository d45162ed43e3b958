"""Writes the shipped maps and their datasets; the same worlds every time.

    python -m scripts.make_shipped_worlds

maps/1 is one grassy hill, maps/2 a larger land with a lake, a tower, a house and trees. The datasets are
rings of views by the pose law of the teacher's images, and photographs from them: not by our renderer, which
is compared with them, but by three.js in a headless Chromium (see scripts/photograph.py for what that needs).
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scripts.photograph import browser, photograph
from teacher.worlds.materials import ENGINE, STONE
from teacher.worlds.world import build
from voxsds.captions.attributes import Attributes, Structure
from voxsds.captions.styles import TEACHER
from voxsds.cli.capture import orbit_cameras
from voxsds.files.params import read_params, read_section
from voxsds.world.cameras import Camera, Frame
from voxsds.world.datasets import write_dataset
from voxsds.world.maps import BlockMap, write_map
from voxsds.world.palette import AIR
from voxsds.world.poses import PoseLaw

REPOSITORY = Path(__file__).parent.parent
VIEWS = 24
IMAGE_SIZE = 256  # pixels
STYLE = replace(TEACHER, faced=False, offset_sd=3.0)  # as the first teacher's worlds were


@dataclass(frozen=True)
class Shipped:
    """A world that the repository ships."""

    size: tuple[int, int, int]
    attributes: Attributes
    seed: int
    lift: int  # layers of stone put under it


SHIPPED = {
    1: Shipped((32, 24, 32), Attributes("grassy", "hill"), seed=5, lift=0),
    2: Shipped(
        (64, 48, 64),
        Attributes(
            "grassy",
            "lake",
            (
                Structure("tower", "stone"),
                Structure("house", "plank", roof="dirt"),
                Structure("trees", None, 0),
            ),
        ),
        seed=11,
        lift=6,
    ),
}


def shipped_world(shipped: Shipped) -> BlockMap:
    """The world as a map, lifted onto its stone."""
    blocks = build(shipped.attributes, np.random.default_rng(shipped.seed), STYLE, shipped.size).blocks
    top = blocks.shape[1] - shipped.lift
    if blocks[:, top:].any():
        raise ValueError(
            f"lifting a world of {shipped.size} by {shipped.lift} pushes blocks out of it; lift it less"
        )
    lifted = np.full(blocks.shape, STONE, np.int64)
    lifted[:, shipped.lift :] = blocks[:, :top]
    return BlockMap(lifted, ENGINE, Frame((shipped.size[0] / 2, shipped.size[2] / 2)), {"sequence": 1})


def shipped_cameras(world: BlockMap) -> list[Camera]:
    """The views of its dataset."""
    teacher = REPOSITORY / "teacher" / "params.yaml"
    law = read_section(read_params(teacher), "poses", PoseLaw, where=str(teacher))
    return orbit_cameras(world, VIEWS, IMAGE_SIZE, law)


def write_shipped(number: int, root: Path) -> None:
    """Writes `root`/maps/<number> and `root`/datasets/<number>."""
    world = shipped_world(SHIPPED[number])
    cameras = shipped_cameras(world)
    with browser() as chromium:
        images = photograph(chromium, world, cameras)
    write_map(root / f"maps/{number}/map.json", world)
    write_dataset(root / f"datasets/{number}", cameras, images, capture_id=f"shipped-{number}")
    print(f"maps/{number}: {int((world.blocks != AIR).sum()):,} blocks, {len(cameras)} views")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="folder that gets maps/ and datasets/")
    root = parser.parse_args().root
    for number in SHIPPED:
        write_shipped(number, root)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"make_shipped_worlds: {error}")
