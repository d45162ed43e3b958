"""A folder in which the stages run: a small map, its dataset, and an oracle that knows the edit."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from teacher.worlds.materials import ENGINE
from tests.helpers.edit import FRAME, SHAPE, house_on_grass, teacher_settings, tower_on_snow, views
from voxsds.world.datasets import write_dataset
from voxsds.world.maps import BlockMap, write_map

ROOT = Path(__file__).parents[2]


def params(**train) -> dict:
    """The shipped parameters, with the oracle as teacher and a shorter run."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    oracle = asdict(teacher_settings(resolution=16))
    values |= {"map_id": 1, "prompt": "a stone tower on snow", "guidance": "oracle"}
    values["teachers"] = {"oracle": oracle}
    values["train"] |= {
        "steps": 6,
        "views": 1,
        "probe_every": 7,
        "image_every": 4,
        "checkpoint_every": 3,
    } | train
    return values


def make_workspace(folder: Path, values: dict) -> Path:
    """Writes maps/1, datasets/1, target.json and params.yaml into `folder`."""
    for path, blocks in (("maps/1/map.json", house_on_grass()), ("target.json", tower_on_snow())):
        write_map(folder / path, BlockMap(blocks, ENGINE, FRAME, {}))
    cameras = views(SHAPE, FRAME, 24)
    images = [np.zeros((24, 24, 3))] * len(cameras)
    write_dataset(folder / "datasets/1", cameras, images, "test")
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return folder
