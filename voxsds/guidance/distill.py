"""Asking a teacher: one step of score distillation."""

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.noise import clean_estimate, noise_between, noise_latents
from voxsds.guidance.sampling import clamped, denoise, guided_prediction, jump_schedule
from voxsds.guidance.sds import require_finite, sds_gradient, weight
from voxsds.guidance.teacher import Question, Teacher
from voxsds.render.rays import RayBundle


@dataclass(frozen=True, eq=False)
class Distillation:
    """Answer of the teacher to one question about a batch of latents."""

    gradient: Float[Tensor, "views channels rows columns"]  # for sds.surrogate_loss
    clean: Float[Tensor, "views channels rows columns"]  # where the teacher would go: its x0_hat
    residual: Float[Tensor, " views"]  # mean |prediction - noise|^2


@torch.no_grad()
def distill(
    teacher: Teacher,
    question: Question,
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    timesteps: Int[Tensor, " views"],
    noise: Float[Tensor, "views channels rows columns"],
    knobs: AskSettings,
    step: int,
) -> Distillation:
    """The gradient of `knobs.method` at `latents`; FloatingPointError where anything is not finite.

    Both methods are w(t) (prediction - noise), the noise being the one that was drawn:

        sds     the guided prediction
        jump    the noise that several steps of the teacher's own leave behind, so that the gradient is
                w (a / s) (z - x0_hat), a pull to an image that the teacher finished
    """
    level = teacher.noise.at(timesteps, latents)
    noisy = noise_latents(latents, noise, level)
    scale, rescale = knobs.guidance_scale, knobs.guidance_rescale
    match knobs.method:
        case "sds":
            predicted = guided_prediction(teacher, question, noisy, timesteps, rays, scale, rescale)
        case "jump":
            schedule = jump_schedule(timesteps, knobs.timesteps)
            clean = denoise(teacher, question, noisy, schedule, rays, scale, knobs.clamp, rescale)
            predicted = noise_between(clean, noisy, level)
        case _:
            assert_never(knobs.method)
    # Not before: this waits for the device, which has the whole question to work on meanwhile.
    require_finite("the latents of the renders", latents, step)
    require_finite("the teacher's noise prediction", predicted, step)
    if knobs.clamp and knobs.method != "jump":  # whose every step was
        predicted = clamped(teacher, noisy, predicted, level)
    return Distillation(
        gradient=sds_gradient(predicted, noise, weight(knobs.weight, level)),
        clean=clean_estimate(noisy, predicted, level),
        residual=(predicted - noise).square().mean(dim=(1, 2, 3)),
    )
