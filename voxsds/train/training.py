"""The optimisation: renders from random views, a teacher's opinion of them, one step of Adam.

No file is read or written here. A `Training` is all the state of a run; `train` goes through its
steps and can be left and taken up again between any two of them, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.guidance import sds
from voxsds.guidance.distill import Distillation, distill
from voxsds.guidance.probe import Probe, probe
from voxsds.guidance.teacher import Promptable, Teacher
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.render.renderer import Rendering, render
from voxsds.train import penalties as losses
from voxsds.train.clock import StepClock
from voxsds.train.flips import WINDOW, HardPhase
from voxsds.train.health import (
    TrainingStopped,
    gradient_statistics,
    require_blocks,
    require_finite_gradients,
    require_movement,
)
from voxsds.train.processes import ALONE, Ranks
from voxsds.train.recipe import Recipe
from voxsds.train.restraint import tidy_grid, weight_decay
from voxsds.train.schedules import Geometric, Linear
from voxsds.train.views import ViewSource
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import Field, confined, straight_through
from voxsds.world.palette import Palette

PROBE_VIEWS = 4
PROBE_LEVELS = (300, 500, 700, 850)  # of 1000: shapes at the high ones, materials at the low
TIDY_EVERY = 10  # steps
MEMORY = 0.9  # of the mean of what was said, from step to step
TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Scene:
    """Where the grid stands, what its materials look like, and from where it was photographed."""

    palette: Palette
    frame: Frame
    cameras: Sequence[Camera]  # of the dataset
    parts: "Sequence[Part]" = ()  # of the world, with prompts of their own; empty: one prompt for all


@dataclass(frozen=True, eq=False)
class Part:
    """Cells that follow a prompt of their own."""

    teacher: Teacher  # told that prompt
    cells: Bool[Tensor, "X Y Z"]


@dataclass(frozen=True)
class StepRecord:
    """What one step says of itself; the grid's figures are those that the step started from."""

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


def _generator(seed: int, purpose: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence([seed, purpose]).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


def _judge(teacher: Teacher) -> Teacher | None:
    """The teacher with its prompt against no prompt, if it can be asked whether the one describes a map.

    None if it follows no prompt, or is not one of worlds like this.
    """
    if teacher.vocabulary is None or not isinstance(teacher, Promptable):
        return None
    return teacher.against_nothing()


class Training:
    """A run: the grid, its optimizer, and one stream of random numbers for each purpose.

    Where several processes share the run, each has all of this, equal, and draws some of the views.
    """

    def __init__(
        self,
        grid: DifferentiableVoxelGrid,
        scene: Scene,
        teacher: Teacher,
        recipe: Recipe,
        ranks: Ranks = ALONE,
    ):
        self.grid, self.scene, self.teacher, self.recipe = grid, scene, teacher, recipe
        self.ranks, self.step = ranks, 0
        self.settings = settings = recipe.train
        self.own = ranks.share(settings.views)
        self.occupancy_temperature = Geometric(
            **asdict(settings.occupancy_temperature), steps=self._soft_steps
        )
        self.material_temperature = Geometric(**asdict(settings.material_temperature), steps=self._soft_steps)
        self.freeze = settings.freezing(self._soft_steps)
        least, largest = recipe.teacher.noise_levels(grid.shape)
        self.t_min = Linear(*least, steps=self._soft_steps)
        self.t_max = Linear(*largest, steps=self._soft_steps)
        self.guidance = Linear(*recipe.teacher.guidance, steps=self._soft_steps)
        self.camera_draws = np.random.default_rng([recipe.seed, 0])
        self.timestep_draws, self.noise_draws = _generator(recipe.seed, 1), _generator(recipe.seed, 2)
        self.source = ViewSource(
            recipe.cameras, recipe.poses, scene.cameras, grid.shape, scene.frame, teacher.resolution
        )
        self.lit = torch.as_tensor(lit_faces(scene.palette)).to(grid.initial_occupancy)
        self.probe_rays = self._rays(self.source.spread(PROBE_VIEWS))
        self.judge = _judge(teacher)
        self.begun = self._probe(self._sharp())  # of the input map
        self.start = self._start()
        self.preserve = self._preserve()
        self.optimizer = torch.optim.Adam(
            grid.by_stride(),
            recipe.lr,
            settings.betas,
            settings.epsilon,
            weight_decay(self.preserve, len(grid.levels), grid.initial_occupancy.abs().max().item()),
            decoupled_weight_decay=True,
            fused=True,
        )
        self.reach = torch.zeros_like(grid.initial_occupancy)  # best of all steps, 0 = never seen
        self.said = torch.zeros_like(self.reach)  # mean square gradient towards a voxel's material logits
        self.patched: Tensor | None = None  # the patchwork penalty's part in the gradient of this step
        self.clock = StepClock(self.reach.device)
        self.hard = HardPhase(grid, self.lit)
        self.map = grid.blocks()  # those of the start
        self._still = 0  # steps in a row without gradient
        self._had_blocks = bool(self.map.any())

    def advance(self) -> StepRecord:
        """One step; TrainingStopped, and the grid left as it was, where going on makes no sense."""
        step, settings = self.step, self.settings
        self.clock.start()
        statistics = self.grid.statistics(self.scene.palette.names)
        if self._had_blocks:
            require_blocks(statistics, step)
        if step == self._soft_steps:
            self.hard.begin()
        self.clock.lap("grid")
        found = self._found()  # before the field, so that there is one at a time
        self.clock.lap("probe")
        field = drawn = self.field()
        self.clock.lap("grid")
        views = [self.source.draw(self.camera_draws) for _ in range(settings.views)]
        rays = self._rays([camera for camera, _ in views[self.own]])
        teacher, field = self._turn(field)
        rendering = self._render(field, rays)
        self.ranks.raise_to_largest(rendering.reach)
        self.clock.lap("render")
        timesteps = self._timesteps()
        said, latents = self._ask(teacher, rendering, rays, timesteps[self.own])
        penalties = self._penalties(field, rendering.reach)
        self.clock.lap("penalties")
        self._backward(sds.surrogate_loss(latents, said.gradient), penalties, drawn)
        residual = self.ranks.gathered(said.residual, settings.views)
        self.clock.lap("render backward")
        gradients = self._gradient_statistics(losses.touched(rendering.reach, field.opacity), drawn)
        temperatures = self.temperatures()
        record = StepRecord(
            step=step,
            temperature=temperatures["material_temperature"],
            occupancy_temperature=temperatures["occupancy_temperature"],
            lr=replace(self.recipe.learning_rate, steps=self._soft_steps).at(self._scheduled),
            camera_index=views[0][1],
            camera_indices=[index for _, index in views],
            timesteps=timesteps.tolist(),
            losses=self._losses(residual, timesteps, penalties),
            residual=residual.mean().item(),
            grid_stats=statistics,
            gradient_stats=gradients,
            probe=asdict(found) if found else None,
        )
        if self._hard:
            self.hard.learn(*self._gradients(drawn), last=step + WINDOW > settings.steps - 1)
        else:
            self._listen(rendering.reach, field)
            self._move(record.lr)
            if self._tidies:
                tidy_grid(self.grid, self.map)
        self.reach = torch.maximum(self.reach, rendering.reach)
        self.step += 1
        self.clock.lap("optimiser")
        return record

    def field(self) -> Field:
        """What the grid looks like at this point of the run."""
        if self._hard:
            return self.hard.field()
        field = self.grid.field(**self.temperatures())
        soft_steps = round((1 - self.settings.straight_through) * self.settings.steps)
        return field if self._current < soft_steps else straight_through(field)

    @property
    def _soft_steps(self) -> int:
        """How many steps come before the hard phase, which has only whole windows."""
        windows = round(self.settings.hard_phase * self.settings.steps) // WINDOW
        return self.settings.steps - windows * WINDOW

    @property
    def _scheduled(self) -> int:
        """Where the schedules are, which all come to their ends before the hard phase."""
        return max(0, min(self._current, self._soft_steps - 1))

    @property
    def _hard(self) -> bool:
        return self._current >= self._soft_steps

    @property
    def _tidies(self) -> bool:
        """Whether this step ends by tidying: some of the last ones, and the very last."""
        last = self.settings.steps - 1
        late = self.step >= round((1 - self.settings.tidy) * self.settings.steps)
        return late and (self.step % TIDY_EVERY == 0 or self.step == last)

    @property
    def _current(self) -> int:
        """The step in hand; at the end of the run, the last."""
        return min(self.step, self.settings.steps - 1)

    def _turn(self, field: Field) -> tuple[Teacher, Field]:
        """Who is asked in this step, and the field that the answer moves: the parts take turns."""
        if not self.scene.parts:
            return self.teacher, field
        part = self.scene.parts[self.step % len(self.scene.parts)]
        return part.teacher, confined(field, part.cells)

    def temperatures(self) -> dict[str, float]:
        """Those at this point of the run; at its end, those of the last step."""
        step, cold = self._scheduled, self.freeze.at(self._scheduled)
        return {
            "occupancy_temperature": cold * self.occupancy_temperature.at(step),
            "material_temperature": cold * self.material_temperature.at(step),
        }

    @torch.no_grad()
    def pictures(self, count: int) -> Float[Tensor, "count 3 height width"]:
        """The first dataset views at this point of the run, at their own size."""
        return self._render(self.field(), self._rays(self.scene.cameras[:count])).rgba[:, :3]

    def _rays(self, cameras: Sequence[Camera]) -> RayBundle:
        like = self.grid.initial_occupancy
        return ray_bundle(cameras, self.scene.frame, like.dtype, like.device)

    def _render(self, field: Field, rays: RayBundle) -> Rendering:
        knobs = self.recipe.render
        return render(*field, self.lit, rays, threshold=knobs.threshold, backend=knobs.backend)

    def _timesteps(self) -> Int[Tensor, " views"]:
        teacher = self.recipe.teacher
        total = len(self.teacher.alphas_cumprod)
        t_min, t_max = self.t_min.at(self._scheduled), self.t_max.at(self._scheduled)
        draws = self.timestep_draws
        return sds.draw_timesteps(self.settings.views, t_min, t_max, total, teacher.timesteps, draws)

    def _ask(
        self, teacher: Teacher, rendering: Rendering, rays: RayBundle, timesteps: Int[Tensor, " views"]
    ) -> tuple[Distillation, Float[Tensor, "views channels rows columns"]]:
        """The teacher's opinion of the images, and the latents that it is about."""
        knobs = replace(self.recipe.teacher, guidance_scale=self.guidance.at(self._scheduled))
        images = rendering.rgba[:, :3]
        asked = timesteps.to(images.device)  # a copy waits for the device: not behind the encoder
        if (ratio := knobs.pixel_clip) is not None:
            images.register_hook(lambda gradient: sds.clip_pixels(gradient, ratio))
        images.register_hook(lambda _: self.clock.lap("encoder backward"))
        latents = self.teacher.encode(images)
        self.clock.lap("encode")
        every = (self.settings.views, *latents.shape[1:])
        noise = torch.randn(every, generator=self.noise_draws, pin_memory=latents.is_cuda)[self.own]
        try:
            said = distill(
                teacher,
                latents,
                rays,
                asked,
                noise.to(latents, non_blocking=True),
                knobs,
                self.step,
                self._start_latents(rays),
            )
        except FloatingPointError as error:
            raise TrainingStopped("numbers are not finite", self.step, {"seen": str(error)}, "") from error
        self.clock.lap("denoiser")
        return said, latents

    def _start(self) -> Field | None:
        """What a bridge leads away from: the input map, drawn as sharp as the run ends."""
        if self.recipe.teacher.method != "bridge":
            return None
        return self._sharp()

    @torch.no_grad()
    def _start_latents(self, rays: RayBundle) -> Float[Tensor, "views channels rows columns"] | None:
        return None if self.start is None else self.teacher.encode(self._render(self.start, rays).rgba[:, :3])

    def _preserve(self) -> float:
        """`edit.preserve`; where it is left open 1 if the prompt describes the map, so that it is let be."""
        if self.recipe.edit.preserve is not None:
            return self.recipe.edit.preserve
        if self.scene.parts or self.judge is None:
            return 0.0
        return float(self.ranks.agreed(int(self.begun.margin > 0)))

    def _penalties(self, field: Field, reach: Float[Tensor, "X Y Z"]) -> dict[str, Tensor]:
        """The regularisers, weighted; those of weight zero are not computed."""
        weights = self.recipe.train.penalties
        mask = losses.touched(reach, field.opacity)
        functions = {
            "sparsity": lambda: losses.sparsity(field.opacity),
            "entropy": lambda: losses.material_entropy(field.material),
            "smoothness": lambda: losses.smoothness(field.opacity, mask),
            "binarisation": lambda: losses.binarisation(field.opacity),
        }
        parts = {
            name: weight * losses.masked_mean(functions[name](), mask)
            if weight
            else field.opacity.new_zeros(())
            for name, weight in asdict(replace(weights, patchwork=0.0)).items()
        }
        self.patched = None
        if weights.patchwork and self.preserve < 1 and not self._hard:
            parts["patchwork"] = self._patchwork(field, mask)
        return parts

    def _patchwork(self, field: Field, mask: Bool[Tensor, "X Y Z"]) -> Float[Tensor, ""]:
        """The penalty on neighbours of different materials, in no voxel louder than `patchwork_limit`.

        Its gradient towards the logits of a voxel is shortened to that times the root mean square of all
        else that was said of them lately. Under 1 a teacher whose steps agree has the last word, however
        soft it speaks near its goal; one whose steps do not is outvoted by the neighbours. A light touch
        leaves the map's own borders alone: `preserve` takes its part of the weight away.
        """
        weight = (1 - self.preserve) * self.settings.penalties.patchwork
        limit = self.settings.patchwork_limit
        penalty = weight * losses.masked_mean(losses.patchwork(*field, mask), mask)
        if limit is None:
            return penalty
        (by_logit,) = torch.autograd.grad(penalty, self.grid.material_residuals[0], retain_graph=True)
        loudness = by_logit.norm(dim=0).clamp(min=TINY)
        self.patched = shortened = by_logit * (limit * self.said.sqrt() / loudness).clamp(max=1)
        pull = sds.surrogate_loss(self.grid.material_logits, shortened.permute(1, 2, 3, 0))
        return penalty.detach() + pull - pull.detach()  # of that value, with the shortened gradient

    @torch.no_grad()
    def _listen(self, reach: Float[Tensor, "X Y Z"], field: Field) -> None:
        """Keeps how loud the gradient of this step was without the patchwork penalty, for the next ones."""
        if self.patched is None:
            return
        _, total = self.grid.logit_gradients()
        square = (total - self.patched).square().sum(dim=0)
        mean = torch.where(self.said == 0, square, torch.lerp(square, self.said, MEMORY))
        self.said = torch.where(losses.touched(reach, field.opacity), mean, self.said)

    def _backward(self, distillation: Float[Tensor, ""], penalties: dict[str, Tensor], drawn: Field) -> None:
        """The gradient of the step: each process adds that of its views and its part of the penalties."""
        share = (self.own.stop - self.own.start) / self.settings.views
        self.optimizer.zero_grad()
        (share * distillation + sum(penalties.values()) / self.ranks.size).backward()
        leaves = drawn if self._hard else self.grid.parameters()
        self.ranks.add(leaf.grad for leaf in leaves if leaf.grad is not None)

    def _losses(
        self,
        residual: Float[Tensor, " views"],
        timesteps: Int[Tensor, " views"],
        penalties: dict[str, Tensor],
    ) -> dict[str, float]:
        """`sds` = mean over the views of w(t) |eps_hat - eps|^2: noise mostly, `probe` shows progress."""
        alpha_bar = self.teacher.alphas_cumprod[timesteps].to(residual)
        weights = sds.weight(self.recipe.teacher.weight, alpha_bar)
        parts = {"sds": (weights * residual).mean().item()}
        parts |= {name: penalty.detach().item() for name, penalty in penalties.items()}
        return {"total": sum(parts.values()), **parts}

    @torch.no_grad()
    def _sharp(self) -> Field:
        """The grid at this point of the run, as sharp as the run ends: haze says nothing about a world."""
        return self.grid.field(*self.settings.last_temperatures)

    def _found(self) -> Probe | None:
        """What the probe has to say of the grid that this step starts from, if it is its turn."""
        step, settings = self.step, self.settings
        if step == 0:
            return self.begun
        if step % settings.probe_every and step != settings.steps - 1:
            return None
        return self._probe(self.field() if self._hard else self._sharp())

    @torch.no_grad()
    def _probe(self, field: Field) -> Probe:
        """What the teacher finds in fixed views under fixed noise."""
        latents = self.teacher.encode(self._render(field, self.probe_rays).rgba[:, :3])
        total = len(self.teacher.alphas_cumprod)
        levels = self.recipe.teacher.timesteps or [level * total // 1000 for level in PROBE_LEVELS]
        return probe(self.judge or self.teacher, latents, self.probe_rays, levels)

    def _gradients(self, drawn: Field) -> tuple[Float[Tensor, "X Y Z"], Float[Tensor, "M X Y Z"]]:
        """Of the last backward: towards the logits, or in the hard phase towards the plain blocks."""
        if not self._hard:
            return self.grid.logit_gradients()
        opacity, material = drawn.opacity.grad, drawn.material.grad
        assert opacity is not None and material is not None
        return opacity, material.movedim(-1, 0)

    def _gradient_statistics(self, touched: Bool[Tensor, "X Y Z"], drawn: Field) -> dict[str, float]:
        occupancy, material = self._gradients(drawn)
        statistics = gradient_statistics(occupancy, material, touched)
        require_finite_gradients(statistics, {"occupancy": occupancy, "material": material}, self.step)
        frozen = self.freeze.at(self._scheduled) < 1  # and may be quite decided
        self._still = self._still + 1 if statistics["grad_max"] == 0 and not frozen else 0
        require_movement(self._still, statistics, self.step)
        return statistics

    def _move(self, lr: float) -> None:
        """A step of Adam: what stands for k voxels along a side moves k times as fast.

        Over k x k x k voxels noise averages out, and so much land has to move as one thing.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["stride"]
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """All that changes over a run, as tensors and plain values."""
        return {
            "step": self.step,
            "grid": self.grid.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "camera_draws": self.camera_draws.bit_generator.state,
            "timestep_draws": self.timestep_draws.get_state(),
            "noise_draws": self.noise_draws.get_state(),
            "reach": self.reach,
            "said": self.said,
            "hard": self.hard.state,
            "still": self._still,
            "had_blocks": self._had_blocks,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the run that gave `state` was."""
        self.step = state["step"]
        self.grid.load_state_dict(state["grid"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.camera_draws.bit_generator.state = state["camera_draws"]
        self.timestep_draws.set_state(state["timestep_draws"])
        self.noise_draws.set_state(state["noise_draws"])
        self.reach, self.said = state["reach"].to(self.reach), state["said"].to(self.said)
        device = self.reach.device
        hard = state["hard"].items()
        self.hard.state = {k: v.clone().to(device) if isinstance(v, Tensor) else v for k, v in hard}
        self._still, self._had_blocks = state["still"], state["had_blocks"]


def train(training: Training) -> Iterator[StepRecord]:
    """The remaining steps of a run, one record each; TrainingStopped where it cannot go on."""
    while training.step < training.settings.steps:
        yield training.advance()
