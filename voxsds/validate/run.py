"""Results of the earlier stages, with the figures that they measured themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from voxsds.blocks.limits import Limits
from voxsds.grid.file import GridFile
from voxsds.render.draw import Images, Placed, draw
from voxsds.validate.photographs import Photograph
from voxsds.validate.symptoms import Blocks
from voxsds.world.cameras import Camera
from voxsds.world.field import Field
from voxsds.world.maps import BlockMap


@dataclass(frozen=True)
class LogitGradients:
    """The gradient of one kind of logits, as `voxsds.gradcheck.gate` measures it."""

    differentiable: bool  # it is not zero, and finite throughout
    gradient_norm_l2: float
    gradient_health_score: float
    blocks_with_gradients: float  # share of the visible blocks
    has_nan_gradients: bool
    has_inf_gradients: bool


@dataclass(frozen=True)
class GradientTest(LogitGradients):
    """The gradient of the material logits, and beside it that of the occupancy logits."""

    ok: bool  # both meet the gate's criteria
    occupancy: LogitGradients


@dataclass(frozen=True)
class ProbeMargin:
    """Gain of the teacher's noise prediction when it is told the prompt, at both ends of the training."""

    start: float
    end: float


@dataclass(frozen=True)
class Effort:
    """Time and memory that the training took."""

    steps: int
    steps_asked: int
    seconds: float
    ms_per_step: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Facts:
    """Figures that the training logged of itself, in out_local/logs/metrics.json."""

    probe_margin: ProbeMargin
    run: Effort


@dataclass(frozen=True, eq=False)
class Run:
    """A result, and all that it came from."""

    prompt: str
    before: BlockMap
    after: BlockMap  # as read from the exported file
    trained: GridFile
    dataset: Sequence[Camera]
    test_images: Mapping[int, Images]  # by step
    gradients_before: GradientTest  # on the input map
    gradients_after: GradientTest  # on the trained grid
    facts: Facts
    photographs: Sequence[Photograph] = ()  # the dataset's own images of the input map
    limits: Limits | None = None  # of the edit; None: everything might change
    untidied: Blocks | None = None  # what the export would be without its cleanup; None: it had none
    export_counts: Mapping[str, int] = field(default_factory=dict)  # what the export did, by name


@torch.no_grad()
def soft_field(trained: GridFile) -> Field:
    """Opacities and materials of the trained grid at the temperatures of its last step."""
    return trained.grid.field(trained.run["occupancy_temperature"], trained.run["material_temperature"])


@torch.no_grad()
def soft_images(trained: GridFile, cameras: Sequence[Camera]) -> Images:
    """Images of the trained grid, soft as its last step drew it, from these cameras."""
    return draw(Placed(soft_field(trained), trained.palette, trained.frame), cameras)
