"""Probe of a teacher: how well it finds given noise in given views, the noise-free measure of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.guidance.noise import noise_latents
from voxsds.guidance.teacher import Question, Teacher
from voxsds.render.rays import RayBundle


@dataclass(frozen=True)
class Probe:
    """Errors of the teacher's search for given noise in given views."""

    eps: float  # mean |eps_c - eps|^2; a busy view has more of it than a plain one, whatever they show
    margin: float  # mean |eps_u - eps|^2 - |eps_c - eps|^2; above 0 the prompt says what the views show


@torch.no_grad()
def probe(
    teacher: Teacher,
    question: Question,
    latents: Float[Tensor, "views channels rows columns"],
    rays: RayBundle | None,
    levels: Sequence[int],
) -> Probe:
    """Means over the views at each of the timesteps `levels`, without guidance; the noise is always the same.

    The margin is that of a diffusion classifier (arXiv 2303.16203) between the prompt and what stands
    against it. SDS leads along its gradient, times the guidance. Only a teacher of worlds like this
    one can be asked whether it is above 0: one that was taught images of every kind finds nearly any
    sentence better than none.
    """
    draws = torch.Generator().manual_seed(0)
    errors = []
    for level in levels:
        timesteps = torch.full((len(latents),), level, device=latents.device)
        noise = torch.randn(latents.shape, generator=draws).to(latents)
        noisy = noise_latents(latents, noise, teacher.noise.at(timesteps, latents))
        answers = teacher.predict(question, noisy, timesteps, rays)
        errors.append([(answer - noise).square().mean().item() for answer in answers])
    against, towards = (sum(each) / len(errors) for each in zip(*errors, strict=True))
    return Probe(eps=towards, margin=against - towards)
