"""The optimisation: renders from random views, a teacher's opinion of them, one step of Adam.

No file is read or written here. A `Training` is all the state of a run; `train` goes through its
steps and can be left and taken up again between any two of them, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.guidance.probe import Probe
from voxsds.guidance.teacher import Question, Teacher
from voxsds.render.light import lit_faces
from voxsds.train.clock import StepClock
from voxsds.train.critic import Critic, Part
from voxsds.train.drawing import Drawing
from voxsds.train.health import (
    gradient_statistics,
    require_blocks,
    require_finite_gradients,
    require_movement,
)
from voxsds.train.optimizer import adam, move
from voxsds.train.patchwork import PatchworkLimit
from voxsds.train.penalties import penalties, touched
from voxsds.train.plan import Now, Plan
from voxsds.train.processes import ALONE, Ranks
from voxsds.train.recipe import Recipe
from voxsds.train.restraint import tidy_grid
from voxsds.train.views import ViewSource
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import Field
from voxsds.world.palette import Palette

PROBE_VIEWS = 4


@dataclass(frozen=True, eq=False)
class Scene:
    """The surroundings of a grid: its place, the colours of its materials, and the dataset's cameras."""

    palette: Palette
    frame: Frame
    cameras: Sequence[Camera]  # of the dataset
    parts: Sequence[Part] = ()  # of the world, with prompts of their own; empty: one prompt for all


@dataclass(frozen=True)
class StepRecord:
    """Figures of one step; those of the grid are what the step started from."""

    step: int
    temperature: float  # of the materials
    occupancy_temperature: float
    lr: float
    camera_index: int  # dataset view of the first image, -1 = taken from an orbit
    camera_indices: list[int]
    timesteps: list[int]
    losses: dict[str, float]  # weighted, they add up to `total`
    residual: float  # mean |eps_hat - eps|^2
    grid_stats: dict[str, Any]
    gradient_stats: dict[str, float]
    probe: dict[str, float] | None  # every `probe_every` steps and at the last


class Training:
    """A run: the grid, its optimizer, and one stream of random numbers for each purpose.

    Where several processes share the run, each has all of this, equal, and draws some of the views.
    """

    def __init__(
        self,
        grid: DifferentiableVoxelGrid,
        scene: Scene,
        teacher: Teacher,
        question: Question,
        recipe: Recipe,
        ranks: Ranks = ALONE,
    ):
        self.grid, self.scene, self.recipe, self.ranks = grid, scene, recipe, ranks
        self.settings, self.step = recipe.train, 0
        self.own = ranks.share(recipe.train.views)
        self.plan = Plan.of(recipe, grid.shape)
        self.clock = StepClock(grid.initial_occupancy.device)
        self.critic = Critic(teacher, question, scene.parts, recipe, self.own, self.clock)
        self.camera_draws = np.random.default_rng([recipe.seed, 0])
        size = self.critic.resolution
        self.source = ViewSource(recipe.cameras, recipe.poses, scene.cameras, grid.shape, scene.frame, size)
        lit = lit_faces(scene.palette).to(grid.initial_occupancy)
        self.drawing = Drawing(lit, scene.frame, recipe.render)
        self.probe_rays = self.drawing.rays(self.source.spread(PROBE_VIEWS))
        self.begun = self._probe()  # of the input map
        self.preserve = self._preserve()
        self.optimizer = adam(grid, recipe, self.preserve)
        self.reach = torch.zeros_like(grid.initial_occupancy)  # best of all steps, 0 = never seen
        self.patchwork = PatchworkLimit(grid, recipe.train.patchwork_limit)
        self.map = grid.blocks()  # those of the start
        self._still = 0  # steps in a row without gradient
        self._had_blocks = bool(self.map.any())

    @property
    def now(self) -> Now:
        """Numbers of the step that comes next; at the end of the run, of the last."""
        return self.plan.at(self.step)

    def advance(self) -> StepRecord:
        """Takes a step; TrainingStopped, and the grid left as it was, where going on makes no sense."""
        step, now = self.step, self.now
        self.clock.start()
        statistics = self.grid.statistics(self.scene.palette.names)
        if self._had_blocks:
            require_blocks(statistics, step)
        self.clock.lap("grid")
        found = self._found(now)  # before the field, so that there is one at a time
        self.clock.lap("probe")
        field = self.critic.moved(self.field(), step)
        self.clock.lap("grid")
        views = [self.source.draw(self.camera_draws) for _ in range(self.settings.views)]
        rays = self.drawing.rays([camera for camera, _ in views[self.own]])
        rendering = self.drawing.render(field, rays)
        self.ranks.raise_to_largest(rendering.reach)
        self.clock.lap("render")
        said = self.critic.ask(rendering.rgba[:, :3], rays, step, now)
        regularisers = self._regularisers(field, rendering.reach)
        self.clock.lap("penalties")
        self._backward(said.loss, regularisers)
        residual = self.ranks.gathered(said.residual, self.settings.views)
        self.clock.lap("render backward")
        seen = touched(rendering.reach, field.opacity)
        record = StepRecord(
            step=step,
            temperature=now.material_temperature,
            occupancy_temperature=now.occupancy_temperature,
            lr=now.lr,
            camera_index=views[0][1],
            camera_indices=[index for _, index in views],
            timesteps=said.timesteps.tolist(),
            losses=_losses(self.critic.loss(residual, said.timesteps), regularisers),
            residual=residual.mean().item(),
            grid_stats=statistics,
            gradient_stats=self._gradient_statistics(seen, now),
            probe=asdict(found) if found else None,
        )
        self.patchwork.listen(seen)
        move(self.optimizer, now.lr)
        if now.tidies:
            tidy_grid(self.grid, self.map)
        self.reach = torch.maximum(self.reach, rendering.reach)
        self.step += 1
        self.clock.lap("optimiser")
        return record

    def field(self) -> Field:
        """The field that the grid is at this point of the run, differentiable in its residuals."""
        return self.grid.field(**self.now.temperatures)

    @torch.no_grad()
    def pictures(self, count: int) -> Float[Tensor, "count 3 height width"]:
        """The first dataset views at this point of the run, at their own size."""
        return self.drawing.images(self.field(), self.drawing.rays(self.scene.cameras[:count]))

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes over a run, as tensors and plain values."""
        return {
            "step": self.step,
            "grid": self.grid.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "camera_draws": self.camera_draws.bit_generator.state,
            "timestep_draws": self.critic.timestep_draws.get_state(),
            "noise_draws": self.critic.noise_draws.get_state(),
            "reach": self.reach,
            "said": self.patchwork.said,
            "still": self._still,
            "had_blocks": self._had_blocks,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the run that gave `state` was."""
        self.step = state["step"]
        self.grid.load_state_dict(state["grid"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.camera_draws.bit_generator.state = state["camera_draws"]
        self.critic.timestep_draws.set_state(state["timestep_draws"])
        self.critic.noise_draws.set_state(state["noise_draws"])
        self.reach, self.patchwork.said = (state[name].to(self.reach) for name in ("reach", "said"))
        self._still, self._had_blocks = state["still"], state["had_blocks"]

    @torch.no_grad()
    def _sharp(self) -> Field:
        """The grid at this point of the run, as sharp as the run ends: haze says nothing about a world."""
        return self.grid.field(**self.plan.last.temperatures)

    def _probe(self) -> Probe:
        """The critic's answer about the grid as it is, in views that are always the same."""
        return self.critic.probe(self.drawing.images(self._sharp(), self.probe_rays), self.probe_rays)

    def _found(self, now: Now) -> Probe | None:
        """The probe of the grid that this step starts from, if it is its turn."""
        if not now.probes:
            return None
        return self.begun if self.step == 0 else self._probe()

    def _preserve(self) -> float:
        """`edit.preserve`; where it is left open 1 if the prompt describes the map, so that it is let be."""
        if self.recipe.edit.preserve is not None:
            return self.recipe.edit.preserve
        return float(self.ranks.agreed(int(self.critic.describes(self.begun))))

    def _regularisers(self, field: Field, reach: Float[Tensor, "X Y Z"]) -> dict[str, Float[Tensor, ""]]:
        """Penalties of this step; a light touch leaves the map's own borders between materials alone."""
        weights = self.settings.penalties
        parts = penalties(replace(weights, patchwork=(1 - self.preserve) * weights.patchwork), field, reach)
        return parts | {"patchwork": self.patchwork.limited(parts["patchwork"])}

    def _backward(self, distillation: Float[Tensor, ""], regularisers: dict[str, Float[Tensor, ""]]) -> None:
        """The gradient of the step: each process adds that of its views and its part of the penalties."""
        share = (self.own.stop - self.own.start) / self.settings.views
        self.optimizer.zero_grad()
        (share * distillation + sum(regularisers.values()) / self.ranks.size).backward()
        self.ranks.add(leaf.grad for leaf in self.grid.parameters() if leaf.grad is not None)

    def _gradient_statistics(self, seen: Bool[Tensor, "X Y Z"], now: Now) -> dict[str, float]:
        """Figures of the last backward; TrainingStopped where they say that going on makes no sense."""
        occupancy, material = self.grid.logit_gradients()
        statistics = gradient_statistics(occupancy, material, seen)
        require_finite_gradients(statistics, {"occupancy": occupancy, "material": material}, self.step)
        self._still = self._still + 1 if statistics["grad_max"] == 0 and not now.frozen else 0
        require_movement(self._still, statistics, self.step)
        return statistics


def _losses(distillation: float, regularisers: dict[str, Float[Tensor, ""]]) -> dict[str, float]:
    """Parts of the loss by name, under `total` their sum."""
    parts = {"sds": distillation} | {name: part.detach().item() for name, part in regularisers.items()}
    return {"total": sum(parts.values()), **parts}


def train(training: Training) -> Iterator[StepRecord]:
    """The remaining steps of a run, one record each; TrainingStopped where it cannot go on."""
    while training.step < training.settings.steps:
        yield training.advance()
