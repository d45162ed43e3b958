"""Numbers that change over a run: all of them at any of its steps, from the schedules of its recipe."""

from dataclasses import asdict, dataclass

from voxsds.train.recipe import Recipe
from voxsds.train.schedules import Geometric, Linear, StepDecay

TIDY_EVERY = 10  # steps


@dataclass(frozen=True)
class Now:
    """Numbers that change over a run, at one of its steps."""

    lr: float  # of a residual at stride 1
    occupancy_temperature: float
    material_temperature: float
    frozen: bool  # both temperatures fell once more, and no voxel may be left that a gradient moves
    t_min: float  # noise levels to ask at, shares of the teacher's schedule
    t_max: float
    guidance_scale: float
    probes: bool  # the probe is asked about the grid that the step starts from
    tidies: bool  # the grid is tidied at the end of the step

    @property
    def temperatures(self) -> dict[str, float]:
        """Both temperatures, by the names that `DifferentiableVoxelGrid.field` gives them."""
        return {
            "occupancy_temperature": self.occupancy_temperature,
            "material_temperature": self.material_temperature,
        }


@dataclass(frozen=True)
class Plan:
    """The schedules of a run of `steps` steps."""

    steps: int
    lr: StepDecay
    occupancy_temperature: Geometric  # without the freeze
    material_temperature: Geometric
    freeze: StepDecay  # factor of both temperatures
    t_min: Linear
    t_max: Linear
    guidance: Linear
    tidy_from: int  # step
    probe_every: int  # steps

    @classmethod
    def of(cls, recipe: Recipe, shape: tuple[int, int, int]) -> "Plan":
        """The schedules of `recipe` for a grid of `shape`, on which noise levels left open depend."""
        train, steps = recipe.train, recipe.train.steps
        least, largest = recipe.teacher.ask.noise_levels(shape)
        return cls(
            steps=steps,
            lr=recipe.learning_rate,
            occupancy_temperature=Geometric(**asdict(train.occupancy_temperature), steps=steps),
            material_temperature=Geometric(**asdict(train.material_temperature), steps=steps),
            freeze=StepDecay(1.0, train.freeze.factor, train.freeze.share, steps),
            t_min=Linear(*least, steps=steps),
            t_max=Linear(*largest, steps=steps),
            guidance=Linear(*recipe.teacher.ask.guidance, steps=steps),
            tidy_from=round((1 - train.tidy) * steps),
            probe_every=train.probe_every,
        )

    def at(self, step: int) -> Now:
        """The numbers of step 0, 1, ...; after the end of the run, those of its last step."""
        last = self.steps - 1
        step = min(step, last)
        cold = self.freeze.at(step)
        return Now(
            lr=self.lr.at(step),
            occupancy_temperature=cold * self.occupancy_temperature.at(step),
            material_temperature=cold * self.material_temperature.at(step),
            frozen=cold < 1,
            t_min=self.t_min.at(step),
            t_max=self.t_max.at(step),
            guidance_scale=self.guidance.at(step),
            probes=step % self.probe_every == 0 or step == last,
            tidies=step >= self.tidy_from and (step % TIDY_EVERY == 0 or step == last),
        )

    @property
    def last(self) -> Now:
        """The numbers of the last step."""
        return self.at(self.steps - 1)
