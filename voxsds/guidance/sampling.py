"""Clean latents as a teacher sees them: from one look, or from several steps down to no noise."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.noise import Level, clean_estimate, noise_latents
from voxsds.guidance.sds import clamp_noise, guided_noise, rescaled_noise
from voxsds.guidance.teacher import Question, Teacher
from voxsds.render.rays import RayBundle

JUMP_STEPS = 4  # of a jump by a teacher that has no steps of its own


def guided_prediction(
    teacher: Teacher,
    question: Question,
    noisy: Float[Tensor, "views channels rows columns"],
    timesteps: Int[Tensor, " views"],
    rays: RayBundle | None,
    scale: float,
    rescale: float = 0.0,
) -> Float[Tensor, "views channels rows columns"]:
    """The noise that the teacher sees, guided; scale 1 needs only half of the question."""
    if scale == 1:
        return teacher.predict_towards(question, noisy, timesteps, rays)
    against, towards = teacher.predict(question, noisy, timesteps, rays)
    guided = guided_noise(against, towards, scale)
    if rescale == 0:
        return guided
    return rescaled_noise(noisy, guided, towards, teacher.noise.at(timesteps, noisy), rescale)


def clamped(
    teacher: Teacher,
    noisy: Float[Tensor, "views channels rows columns"],
    predicted: Float[Tensor, "views channels rows columns"],
    level: Level,
) -> Float[Tensor, "views channels rows columns"]:
    """The prediction with its clean estimate in the range of real images, which is known."""
    assert teacher.latent_range is not None, "load_teacher refuses to clamp without"
    return clamp_noise(noisy, predicted, level, teacher.latent_range)


@torch.no_grad()
def denoise(
    teacher: Teacher,
    question: Question,
    noisy: Float[Tensor, "views channels rows columns"],  # at the first of the timesteps
    schedule: Int[Tensor, "steps views"],  # falling; the last step goes to no noise at all
    rays: RayBundle | None,
    scale: float,
    clamp: bool,
    rescale: float = 0.0,
) -> Float[Tensor, "views channels rows columns"]:
    """Clean latents by deterministic DDIM: z' = a' x0_hat + s' eps_hat (arXiv 2010.02502, eq. 12).

    For a network that predicts noise this is Euler's method along the noise level, by which
    SDXL-Lightning is sampled; for a flow it is Euler's method along t. A step from a timestep to itself
    changes nothing.
    """
    levels = [teacher.noise.at(timesteps, noisy) for timesteps in schedule]
    following = [*levels[1:], levels[-1].without_noise()]
    for timesteps, here, there in zip(schedule, levels, following, strict=True):
        predicted = guided_prediction(teacher, question, noisy, timesteps, rays, scale, rescale)
        if clamp:
            predicted = clamped(teacher, noisy, predicted, here)
        noisy = noise_latents(clean_estimate(noisy, predicted, here), predicted, there)
    return noisy


def jump_schedule(
    timesteps: Int[Tensor, " views"],
    own: tuple[int, ...] | None,  # the only timesteps that the teacher knows; None: it knows all
) -> Int[Tensor, "steps views"]:
    """The timesteps by which a jump goes down from `timesteps`, the first of them these.

    From 749 a teacher that knows all goes by 749, 562, 374 and 187. One of four steps goes by 749, 499
    and 249, and from 499 by 499 and 249; views that have fewer steps to go stay where they are at first.
    """
    if own is None:
        shares = torch.arange(JUMP_STEPS, 0, -1, device=timesteps.device) / JUMP_STEPS
        return (shares[:, None] * timesteps).round().long()
    falling = torch.tensor(sorted(own, reverse=True), device=timesteps.device)
    return torch.minimum(falling[falling <= timesteps.max(), None], timesteps)


def trailing_timesteps(steps: int, total: int = 1000) -> Int[Tensor, " steps"]:
    """`steps` timesteps from the last one down, evenly spaced (arXiv 2305.08891, table 2).

    Four of 1000 are 999, 749, 499, 249: those of SDXL-Lightning's four-step network.
    """
    if not 1 <= steps <= total:
        raise ValueError(
            f"cannot draw a sample in {steps} steps: the schedule has {total}, ask for 1 to {total}"
        )
    return torch.arange(total, 0, -total / steps, dtype=torch.float64)[:steps].round().long() - 1


def sample(
    teacher: Teacher,
    question: Question,
    steps: int,
    noise: Float[Tensor, "views channels rows columns"],  # standard normal: the start
    guidance_scale: float,
    rays: RayBundle | None = None,
    clamp: bool = False,
) -> Float[Tensor, "views 3 height width"]:
    """Images 0..1 from pure noise."""
    schedule = trailing_timesteps(steps, len(teacher.noise)).to(noise.device)
    every_view = schedule[:, None].expand(-1, len(noise))
    return teacher.decode(denoise(teacher, question, noise, every_view, rays, guidance_scale, clamp))
