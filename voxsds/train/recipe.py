"""Every knob of a training run, and what can be said about them before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from voxsds.blocks.limits import EVERYTHING, EditSettings
from voxsds.guidance.load import TeacherSettings
from voxsds.train.schedules import StepDecay
from voxsds.train.views import CameraSettings
from voxsds.world.poses import PoseLaw


@dataclass(frozen=True)
class Span:
    """The ends of a schedule."""

    start: float
    end: float


@dataclass(frozen=True)
class Decay:
    """A value times `factor` over the last `share` of the steps."""

    factor: float
    share: float


@dataclass(frozen=True)
class Penalties:
    """Weights of the regularisers, over the voxels that a step's images show."""

    sparsity: float
    entropy: float
    smoothness: float
    binarisation: float
    patchwork: float


@dataclass(frozen=True)
class RenderSettings:
    """Knobs of the renderer, for training and test images."""

    backend: str  # "auto" or the name of one
    threshold: float  # opacities up to this are drawn as nothing; they keep their gradient


@dataclass(frozen=True)
class TrainSettings:
    """The optimisation, but for what belongs to the teacher."""

    steps: int
    views: int  # rendered per step
    betas: tuple[float, float]  # Adam's
    epsilon: float  # Adam's; far under any gradient, or faint voxels would be held back
    decay: Decay  # of the learning rate
    occupancy_temperature: Span  # geometric
    material_temperature: Span  # geometric
    freeze: Decay  # of both temperatures: nothing stays half decided
    tidy: float  # share of the steps, the last ones, in which the grid is tidied; see tidying.py
    penalties: Penalties
    patchwork_limit: float | None  # how loud that penalty may be in a voxel, the teacher being 1; None: any
    probe_every: int  # steps
    image_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        """ValueError naming the counts that are not positive, or a share that is none."""
        names = ("steps", "views", "probe_every", "image_every", "checkpoint_every")
        if wrong := [f"{name} is {getattr(self, name)}" for name in names if getattr(self, name) < 1]:
            raise ValueError(f"train: {', '.join(wrong)}; must be at least 1")
        if not 0 <= self.tidy <= 1:
            raise ValueError(f"train: tidy is {self.tidy}; give a share, 0 to 1")
        for name, late in (("decay", self.decay), ("freeze", self.freeze)):
            if late.factor <= 0 or not 0 <= late.share <= 1:
                raise ValueError(
                    f"train: {name} is {late.factor} over {late.share} of the steps; "
                    "give a positive factor and a share from 0 to 1"
                )


@dataclass(frozen=True)
class Recipe:
    """Every knob of a run; with its input they determine the result."""

    seed: int
    lr: float
    train: TrainSettings
    cameras: CameraSettings
    poses: PoseLaw
    render: RenderSettings
    teacher: TeacherSettings
    edit: EditSettings = EVERYTHING  # the loop knows `preserve` only; for the rest see `edit.restrain`

    @property
    def learning_rate(self) -> StepDecay:
        """The rate of a residual at stride 1 over the run."""
        decay = self.train.decay
        return StepDecay(self.lr, decay.factor, decay.share, self.train.steps)

    def flip_warning(self, levels: Sequence[int], initial_logit: float) -> str | None:
        """A warning for the user if no block can appear or vanish; None if blocks can.

        Adam moves a number by about lr a step times the stride of its level, and a logit is a sum of one
        number from each of the `levels`: 500 steps of 0.01 move a plain grid's logits by 5.
        """
        travel = sum(levels) * self.learning_rate.total()
        if travel > initial_logit:
            return None
        return (
            f"with lr {self.lr:g} and {self.train.steps} steps a logit moves by {travel:.2g} at most; none "
            f"of the initial +-{initial_logit:g} changes its sign. Blocks may change material, but none will "
            "appear or vanish. Raise lr or train.steps, or lower grid.initial_logit."
        )
