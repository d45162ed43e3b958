"""Asking a teacher: one step of score distillation, and the probe that says whether it helps."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.cameras import RayBundle
from voxsds.guidance.sds import (
    WeightKind,
    clamp_noise,
    clean_estimate,
    guided_noise,
    noise_latents,
    require_finite,
    sds_gradient,
    weight,
)
from voxsds.guidance.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Distillation:
    """What one question to the teacher says about a batch of latents."""

    gradient: Float[Tensor, "views channels rows columns"]  # for sds.surrogate_loss
    clean: Float[Tensor, "views channels rows columns"]  # where the teacher would go: its x0_hat
    residual: Float[Tensor, " views"]  # mean |eps_hat - eps|^2


@torch.no_grad()
def distill(
    teacher: Teacher,
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    timesteps: Int[Tensor, " views"],
    noise: Float[Tensor, "views channels rows columns"],
    *,
    guidance_scale: float,
    weight_kind: WeightKind,
    clamp: bool,
    step: int,
) -> Distillation:
    """The SDS gradient at `latents`; FloatingPointError where latents or prediction are not finite."""
    alpha_bar = teacher.alphas_cumprod[timesteps].to(latents)
    noisy = noise_latents(latents, noise, alpha_bar)
    predicted = guided_prediction(teacher, noisy, timesteps, rays, guidance_scale)
    # Not before: it waits for the device, which has the whole question to work on meanwhile.
    require_finite("the latents of the renders", latents, step)
    require_finite("the teacher's noise prediction", predicted, step)
    if clamp:
        predicted = clamp_noise(noisy, predicted, alpha_bar, known_range(teacher))
    return Distillation(
        gradient=sds_gradient(predicted, noise, weight(weight_kind, alpha_bar)),
        clean=clean_estimate(noisy, predicted, alpha_bar),
        residual=(predicted - noise).square().mean(dim=(1, 2, 3)),
    )


def guided_prediction(
    teacher: Teacher,
    noisy: Float[Tensor, "views channels rows columns"],
    timesteps: Int[Tensor, " views"],
    rays: RayBundle | None,
    scale: float,
) -> Float[Tensor, "views channels rows columns"]:
    """The teacher's prediction, guided; scale 1 needs only half of the question."""
    if scale == 1:
        return teacher.predict_conditional(noisy, timesteps, rays)
    return guided_noise(*teacher.predict_noise(noisy, timesteps, rays), scale)


def known_range(teacher: Teacher) -> Float[Tensor, "channels 2"]:
    """The teacher's latent range; ValueError where it has none."""
    if teacher.latent_range is None:
        raise ValueError(
            "clamp is on, but nobody measured this teacher's latents: write latent_range.json "
            '({"low": [...], "high": [...]}, one number a channel) into its folder or set clamp: false'
        )
    return teacher.latent_range


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
