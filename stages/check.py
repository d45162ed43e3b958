"""Stage check: reads all of params.yaml before anything is computed."""

from dataclasses import dataclass
from typing import Any

from stages.running import run_stage
from voxsds.blocks.limits import EditSettings
from voxsds.export.harden import ExportSettings
from voxsds.files.disk import write_json
from voxsds.files.outputs import Outputs
from voxsds.files.params import read_whole
from voxsds.gradcheck.gate import GradcheckSettings
from voxsds.grid.logits import GridSettings
from voxsds.guidance.load import TeacherSettings
from voxsds.train.recipe import RenderSettings, TrainSettings
from voxsds.train.views import CameraSettings
from voxsds.validate.views import ValidateSettings
from voxsds.world.palette import read_palette
from voxsds.world.poses import PoseLaw


@dataclass(frozen=True)
class Parameters:
    """Every parameter of the pipeline, as params.yaml has them."""

    seed: int
    map_id: int | str
    palette: str  # of the maps: one of this package, or a path
    prompt: str
    lr: float
    guidance: str  # one of the teachers
    teachers: dict[str, TeacherSettings]
    gradcheck: GradcheckSettings
    grid: GridSettings
    poses: PoseLaw
    cameras: CameraSettings
    render: RenderSettings
    train: TrainSettings
    edit: EditSettings
    export: ExportSettings
    validate: ValidateSettings

    def __post_init__(self) -> None:
        """ValueError where there is no such teacher or palette, or a value can give no run."""
        if self.guidance not in self.teachers:
            raise ValueError(f"guidance is {self.guidance!r}; choose one of {', '.join(self.teachers)}")
        read_palette(self.palette)
        if not self.prompt.strip():
            raise ValueError("prompt is empty; say what the world should look like")
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr:g}; give a step of the optimizer over 0, like 0.03")


def main(params: dict[str, Any]) -> None:
    """Refuses parameters that any stage would refuse, all mistakes at once.

    What is written is always the same, so that a sound change reruns only the stages that read it.
    """
    read_whole(params, Parameters)
    write_json(Outputs().checked, {"params.yaml": "every section can be read"})


if __name__ == "__main__":
    run_stage("check", main)
