"""The contact sheet of the suite: four views of every result, under its prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from benchmarks.figures import Blocks, Figures
from teacher.worlds.materials import ENGINE
from voxsds.files.params import read_params, read_section
from voxsds.render.draw import draw
from voxsds.report.sheet import PAPER, fit_text, to_bytes
from voxsds.world.maps import BlockMap, read_map
from voxsds.world.poses import PoseLaw, orbit_pose

SIDE, LABEL, GAP, COLUMNS = 112, 18, 8, 3  # pixels; runs in a row
AZIMUTHS = (30.0, 120.0, 210.0, 300.0)  # degrees


def suite_sheet(runs: Sequence[Figures], worlds: Mapping[str, Blocks]) -> UInt8[np.ndarray, "rows columns 3"]:
    """A tile for each run, worst first; one that was stopped has words in place of pictures."""
    ordered = sorted(runs, key=lambda run: run.get("r_precision", 0.0))
    width, height = len(AZIMUTHS) * SIDE + GAP, SIDE + LABEL + GAP
    rows = -(-len(ordered) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), PAPER)
    for i, run in enumerate(ordered):
        at = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height
        text = f"{run.get('r_precision', 0.0):.2f}  {run['name']}"
        if (blocks := worlds.get(f"{run['recipe']}: {run['name']}")) is not None:
            sheet.paste(Image.fromarray(_strip(run["map"], blocks)), (at[0], at[1] + LABEL))
        else:
            text += ": " + run["failed"]
        fit_text(ImageDraw.Draw(sheet), at, text, 13, width - GAP)
    return np.asarray(sheet)


def _strip(map_id: int, blocks: Blocks) -> UInt8[np.ndarray, "rows columns 3"]:
    world = read_map(Path(f"maps/{map_id}/map.json"), ENGINE)
    law = read_section(read_params("params.yaml"), "poses", PoseLaw)
    cameras = [
        orbit_pose(law, world.blocks.shape, world.frame, SIDE, azimuth, 28.0, 1.4) for azimuth in AZIMUTHS
    ]
    images = draw(BlockMap(blocks.astype(np.int64), world.palette, world.frame), cameras)
    return to_bytes(torch.cat(list(images), dim=2))
