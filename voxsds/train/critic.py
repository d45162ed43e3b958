"""The teacher as a run asks it: about the images of a step, and, in the probe, about the grid as it is.

No other module of the training calls a teacher.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from voxsds.guidance import sds
from voxsds.guidance.distill import Distillation, distill
from voxsds.guidance.probe import Probe, probe
from voxsds.guidance.teacher import Question, Teacher
from voxsds.render.rays import RayBundle
from voxsds.train.clock import StepClock
from voxsds.train.health import TrainingStopped
from voxsds.train.plan import Now
from voxsds.train.recipe import Recipe
from voxsds.world.field import Field, confined

PROBE_LEVELS = (300, 500, 700, 850)  # of 1000: shapes at the high ones, materials at the low


@dataclass(frozen=True, eq=False)
class Part:
    """Cells that follow a prompt of their own."""

    question: Question  # that prompt, as the teacher reads it
    cells: Bool[Tensor, "X Y Z"]


@dataclass(frozen=True, eq=False)
class Opinion:
    """The teacher's answer about the images of a step."""

    loss: Float[Tensor, ""]  # its value means nothing, its gradient is the answer
    residual: Float[Tensor, " own"]  # mean |eps_hat - eps|^2 of each image
    timesteps: Int[Tensor, " views"]  # asked at, for the views of all processes


class Critic:
    """A teacher, the question and the knobs it is asked with, and a run's streams of timesteps and noise.

    With `parts`, each of them has a question of its own, and they take turns from step to step.
    """

    def __init__(
        self,
        teacher: Teacher,
        question: Question,
        parts: Sequence[Part],  # empty: one prompt for all
        recipe: Recipe,
        own: slice,  # of a step's views, those that this process draws
        clock: StepClock,
    ):
        self.teacher, self.question, self.parts = teacher, question, parts
        self.own, self.clock = own, clock
        self.settings, self.views = recipe.teacher.ask, recipe.train.views
        self.timestep_draws, self.noise_draws = _generator(recipe.seed, 1), _generator(recipe.seed, 2)
        self._judge = _judge(teacher, question)

    @property
    def resolution(self) -> int:
        """Side of the images that the teacher sees, pixels."""
        return self.teacher.resolution

    def moved(self, field: Field, step: int) -> Field:
        """`field`, of which only the cells that follow this step's answer get a gradient."""
        part = self._part(step)
        return field if part is None else confined(field, part.cells)

    def ask(
        self,
        images: Float[Tensor, "own 3 height width"],  # 0..1, with a gradient
        rays: RayBundle,
        step: int,
        now: Now,
    ) -> Opinion:
        """The answer to the question whose turn it is; TrainingStopped where any number is not finite."""
        timesteps = self._timesteps(now)
        asked = timesteps[self.own].to(images.device)  # a copy waits for the device: not behind the encoder
        latents = self._encode(images)
        try:
            said = self._distilled(latents, rays, asked, step, now)
        except FloatingPointError as error:
            raise TrainingStopped("numbers are not finite", step, {"seen": str(error)}, "") from error
        self.clock.lap("denoiser")
        return Opinion(sds.surrogate_loss(latents, said.gradient), said.residual, timesteps)

    def loss(self, residual: Float[Tensor, " views"], timesteps: Int[Tensor, " views"]) -> float:
        """Mean over the views of w(t) |eps_hat - eps|^2: noise mostly, the probe shows progress."""
        level = self.teacher.noise.at(timesteps, residual)
        return (sds.weight(self.settings.weight, level) * residual).mean().item()

    @torch.no_grad()
    def probe(self, images: Float[Tensor, "views 3 height width"], rays: RayBundle) -> Probe:
        """The teacher's answer about these images under noise that is always the same."""
        latents = self.teacher.encode(images)
        total = len(self.teacher.noise)
        levels = self.settings.timesteps or [level * total // 1000 for level in PROBE_LEVELS]
        return probe(self.teacher, self._judge or self.question, latents, rays, levels)

    def describes(self, found: Probe) -> bool:
        """True where the prompt describes what was probed; False where nobody can tell, or for parts."""
        return not self.parts and self._judge is not None and found.margin > 0

    def _part(self, step: int) -> Part | None:
        """The part whose turn it is."""
        return self.parts[step % len(self.parts)] if self.parts else None

    def _timesteps(self, now: Now) -> Int[Tensor, " views"]:
        total, allowed = len(self.teacher.noise), self.settings.timesteps
        return sds.draw_timesteps(self.views, now.t_min, now.t_max, total, allowed, self.timestep_draws)

    def _encode(
        self, images: Float[Tensor, "own 3 height width"]
    ) -> Float[Tensor, "own channels rows columns"]:
        """Latents of the images, which get their gradient clipped."""
        if (ratio := self.settings.pixel_clip) is not None:
            images.register_hook(lambda gradient: sds.clip_pixels(gradient, ratio))
        images.register_hook(lambda _: self.clock.lap("encoder backward"))
        latents = self.teacher.encode(images)
        self.clock.lap("encode")
        return latents

    @torch.no_grad()
    def _distilled(
        self,
        latents: Float[Tensor, "own channels rows columns"],
        rays: RayBundle,
        timesteps: Int[Tensor, " own"],
        step: int,
        now: Now,
    ) -> Distillation:
        """Score distillation of the latents; the noise is drawn for the views of all processes."""
        every = (self.views, *latents.shape[1:])
        noise = torch.randn(every, generator=self.noise_draws, pin_memory=latents.is_cuda)[self.own]
        part = self._part(step)
        return distill(
            self.teacher,
            self.question if part is None else part.question,
            latents,
            rays,
            timesteps,
            noise.to(latents, non_blocking=True),
            replace(self.settings, guidance_scale=now.guidance_scale),
            step,
        )


def _generator(seed: int, purpose: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence([seed, purpose]).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


def _judge(teacher: Teacher, question: Question) -> Question | None:
    """The prompt against none, by which a teacher of worlds like this says whether it describes a map.

    None where the teacher may have been taught anything.
    """
    return None if teacher.vocabulary is None else teacher.read(question.text, None)
