"""Asking a teacher: one step of score distillation, and the probe that says whether it helps."""

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.denoise import clamped, denoise, guided_prediction, jump_schedule
from voxsds.guidance.sds import (
    clean_estimate,
    noise_between,
    noise_latents,
    require_finite,
    sds_gradient,
    weight,
)
from voxsds.guidance.teacher import Teacher, TeacherSettings
from voxsds.rays import RayBundle


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


@dataclass(frozen=True)
class Probe:
    """How well the teacher finds given noise in given views."""

    eps: float  # mean |eps_c - eps|^2; falls as the views come to look like the prompt
    margin: float  # mean |eps_u - eps|^2 - |eps_c - eps|^2; rises (arXiv 2303.16203)


@torch.no_grad()
def probe(
    teacher: Teacher,
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    timesteps: Int[Tensor, " views"],
    noise: Float[Tensor, "views channels rows columns"],
) -> Probe:
    """The prediction errors without guidance; comparable between runs at equal views, t and noise."""
    noisy = noise_latents(latents, noise, teacher.alphas_cumprod[timesteps].to(latents))
    errors = [(p - noise).square().mean().item() for p in teacher.predict_noise(noisy, timesteps, rays)]
    unconditional, conditional = errors
    return Probe(eps=conditional, margin=unconditional - conditional)


DESCRIBING_TIMESTEPS = (300, 500, 700, 850)  # of 1000: shapes at the high ones, materials at the low


def describes(
    teacher: Teacher,  # with the empty text against its prompt
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    seed: int = 0,
) -> bool:
    """Whether the prompt says what the views show: it helps the teacher to find noise in them.

    Mean of |eps_u - eps|^2 - |eps_c - eps|^2 over views and noise levels above zero (a diffusion classifier,
    arXiv 2303.16203, between the prompt and no prompt). On both shipped maps it is positive for the three
    prompts of the suite that describe the map and negative for the other 29, additions to it included. Only
    a teacher of worlds like this one can be asked so: one that was taught images of every kind finds nearly
    any sentence better than none.
    """
    total, draws = len(teacher.alphas_cumprod), torch.Generator().manual_seed(seed)
    margins = []
    for level in DESCRIBING_TIMESTEPS:
        timesteps = torch.full((len(latents),), level * total // 1000, device=latents.device)
        noise = torch.randn(latents.shape, generator=draws).to(latents)
        margins.append(probe(teacher, latents, rays, timesteps, noise).margin)
    return sum(margins) > 0
