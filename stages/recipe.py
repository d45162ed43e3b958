"""params.yaml as the settings of the library: every section by the dataclass of its owner."""

from typing import Any

from voxsds.blocks.limits import EditSettings
from voxsds.files.params import read_section, read_value
from voxsds.guidance.load import TeacherSettings
from voxsds.train.recipe import Recipe, RenderSettings, TrainSettings
from voxsds.train.views import CameraSettings
from voxsds.world.poses import PoseLaw


def read_recipe(params: dict[str, Any]) -> Recipe:
    """The recipe of a training; ValueError lists what is wrong with the parameters."""
    return Recipe(
        seed=read_value(params, "seed", int),
        lr=read_value(params, "lr", float),
        train=read_section(params, "train", TrainSettings),
        cameras=read_section(params, "cameras", CameraSettings),
        poses=read_section(params, "poses", PoseLaw),
        render=read_section(params, "render", RenderSettings),
        teacher=read_section(
            read_value(params, "teachers", dict),
            read_value(params, "guidance", str),
            TeacherSettings,
            "params.yaml: teachers",
        ),
        edit=read_section(params, "edit", EditSettings),
    )
