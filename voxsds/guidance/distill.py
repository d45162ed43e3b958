"""Asking a teacher: one step of score distillation."""

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.noise import clean_estimate, noise_between, noise_latents
from voxsds.guidance.sampling import clamped, denoise, guided_prediction, jump_schedule
from voxsds.guidance.sds import require_finite, sds_gradient, weight
from voxsds.guidance.teacher import Teacher, TeacherSettings
from voxsds.render.rays import RayBundle


@dataclass(frozen=True, eq=False)
class Distillation:
    """What one question to the teacher says about a batch of latents."""

    gradient: Float[Tensor, "views channels rows columns"]  # for sds.surrogate_loss
    clean: Float[Tensor, "views channels rows columns"]  # where the teacher would go: its x0_hat
    residual: Float[Tensor, " views"]  # mean |prediction - reference|^2


@torch.no_grad()
def distill(
    teacher: Teacher,
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    timesteps: Int[Tensor, " views"],
    noise: Float[Tensor, "views channels rows columns"],
    knobs: TeacherSettings,
    step: int,
    start: Float[Tensor, "views channels rows columns"] | None = None,  # of the input map; bridge needs them
) -> Distillation:
    """The gradient of `knobs.method` at `latents`; FloatingPointError where anything is not finite.

    All three are w(t) (prediction - reference):

        sds     the guided prediction against the noise that was drawn
        bridge  the guided prediction, led away from the source prompt, against the prediction for the
                input map under the source prompt with the same noise. At the start this is
                w scale (eps_c - eps_source) (arXiv 2406.09417); that the reference stays with the input map
                makes it come to rest and keeps what both prompts say (delta denoising, arXiv 2304.07090)
        jump    the noise that several steps of the teacher's own leave behind, against the noise that was
                drawn: w (a / s) (z - x0_hat), a pull to an image that the teacher finished
    """
    alpha_bar = teacher.alphas_cumprod[timesteps].to(latents)
    noisy = noise_latents(latents, noise, alpha_bar)
    scale, rescale, reference = knobs.guidance_scale, knobs.guidance_rescale, noise
    match knobs.method:
        case "sds":
            predicted = guided_prediction(teacher, noisy, timesteps, rays, scale, rescale)
        case "bridge":
            assert start is not None, "the caller draws the input map for a bridge"
            noisy_start = noise_latents(start, noise, alpha_bar)
            reference, _ = teacher.predict_noise(noisy_start, timesteps, rays)
            predicted = guided_prediction(teacher, noisy, timesteps, rays, scale, rescale)
        case "jump":
            schedule = jump_schedule(timesteps, knobs.timesteps)
            clean = denoise(teacher, noisy, schedule, rays, scale, knobs.clamp, rescale)
            predicted = noise_between(clean, noisy, alpha_bar)
        case _:
            assert_never(knobs.method)
    # Not before: this waits for the device, which has the whole question to work on meanwhile.
    require_finite("the latents of the renders", latents, step)
    require_finite("the teacher's noise prediction", predicted, step)
    if knobs.clamp and knobs.method != "jump":  # whose every step was
        predicted = clamped(teacher, noisy, predicted, alpha_bar)
    return Distillation(
        gradient=sds_gradient(predicted, reference, weight(knobs.weight, alpha_bar)),
        clean=clean_estimate(noisy, predicted, alpha_bar),
        residual=(predicted - reference).square().mean(dim=(1, 2, 3)),
    )
