"""The mathematics of score distillation, one function per formula, in the notation of noise.py."""

from typing import Literal, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.noise import Level, clean_estimate

WeightKind = Literal["as", "s2", "one"]


def guided_noise(
    against: Float[Tensor, "*shape"], towards: Float[Tensor, "*shape"], scale: float
) -> Float[Tensor, "*shape"]:
    """eps_u + scale (eps_c - eps_u) (arXiv 2207.12598 as diffusers counts the scale).

    Scale 0 is the prediction against the prompt and 1 the one towards it, both exactly.
    """
    return torch.lerp(against, towards, scale)


def weight(kind: WeightKind, level: Level) -> Float[Tensor, " views"]:
    """w(t) of every view: "as" = a s, "s2" = s^2 (DreamFusion, arXiv 2209.14988), "one" = 1.

    "as" is small where the picture is pure noise and where it has none; s^2 is largest at pure
    noise, whose gradient says least. At a = 0.6 and s = 0.8: 0.48, 0.64 and 1. Both are shares of
    a^2 + s^2, which is 1 of diffusion: what counts is the signal to noise, in a flow as well.
    """
    match kind:
        case "as":
            return (level.signal * level.noise).sqrt() / (level.signal + level.noise)
        case "s2":
            return level.noise / (level.signal + level.noise)
        case "one":
            return torch.ones_like(level.noise)
        case _:
            assert_never(kind)


def rescaled_noise(
    noisy: Float[Tensor, "views channels height width"],
    guided: Float[Tensor, "views channels height width"],
    towards: Float[Tensor, "views channels height width"],
    level: Level,
    share: float,
) -> Float[Tensor, "views channels height width"]:
    """The guided prediction, its clean estimate with the contrast of the unguided one towards the prompt.

        x0' = (1 - share) x0 + share (m + (x0 - m) std(x0_c) / std(x0))

    with mean m and standard deviation per view and channel. Strong guidance raises the contrast: dark
    sides of things come out darker than any material but water. After arXiv 2305.08891, section 3.4,
    which scales the prediction itself about zero; about the mean, a snowfield stays as bright as it is.
    """
    a, s = level.amplitudes()
    clean = clean_estimate(noisy, guided, level)
    wanted = clean_estimate(noisy, towards, level).std(dim=(2, 3), keepdim=True)
    mean = clean.mean(dim=(2, 3), keepdim=True)
    fitted = mean + (clean - mean) * wanted / clean.std(dim=(2, 3), keepdim=True).clamp(min=1e-8)
    return guided + a / s * share * (clean - fitted)


def clamp_noise(
    noisy: Float[Tensor, "views channels height width"],
    predicted: Float[Tensor, "views channels height width"],
    level: Level,
    latent_range: Float[Tensor, "channels 2"],  # lowest and highest latent of real images
) -> Float[Tensor, "views channels height width"]:
    """The prediction whose clean estimate is that of `predicted`, clamped per channel to a range.

    eps' = eps_hat + (a / s) (x0_hat - clamp(x0_hat)), so a prediction inside the range comes back
    bit for bit. Strong guidance extrapolates out of the range of any image; this takes it back.
    """
    a, s = level.amplitudes()
    clean = clean_estimate(noisy, predicted, level)
    low, high = latent_range.to(clean)[:, :, None, None].unbind(1)
    return predicted + a / s * (clean - clean.clamp(low, high))


def sds_gradient(
    predicted: Float[Tensor, "views channels height width"],
    noise: Float[Tensor, "views channels height width"],
    weights: Float[Tensor, " views"],
) -> Float[Tensor, "views channels height width"]:
    """w(t) (eps_hat - eps) / number of latents, per view (DreamFusion, eq. 3, without the Jacobian).

    Divided by the elements of the batch, so that its strength against the regularisers depends
    neither on the resolution nor on the number of views. One latent that is off by 3 at w = 0.5 in
    a batch of 6 latents gets 0.25.
    """
    return weights[:, None, None, None] * (predicted - noise) / predicted.numel()


def surrogate_loss(latents: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """A number whose derivative with respect to `latents` is `gradient`, bit for bit, in any dtype.

    Its value means nothing. Not the usual 0.5 |z - (z - g)|^2, whose subtraction rounds g away:
    17 % of it in bfloat16 where |g| is 1 % of |z|.
    """
    return (latents * gradient.detach()).sum()


def draw_timesteps(
    views: int,
    t_min: float,  # shares of the schedule's length
    t_max: float,
    total: int,
    allowed: tuple[int, ...] | None,  # the only timesteps a distilled teacher knows; None: all
    generator: torch.Generator,
) -> Int[Tensor, " views"]:
    """One timestep per view, uniform over those of `allowed` in [t_min total, t_max total]."""
    low, high = (min(round(share * total), total - 1) for share in (t_min, t_max))
    candidates = range(low, high + 1) if allowed is None else [t for t in allowed if low <= t <= high]
    if len(candidates) == 0:
        raise ValueError(
            f"no timestep to draw: none of {allowed or 'the schedule'} lies in [{low}, {high}]; "
            f"widen t_min and t_max ({t_min} and {t_max} of {total})"
        )
    chosen = torch.randint(len(candidates), (views,), generator=generator, device=generator.device)
    return torch.tensor(candidates, device=generator.device)[chosen]


def clip_pixels(
    gradient: Float[Tensor, "views channels height width"], ratio: float
) -> Float[Tensor, "views channels height width"]:
    """The gradient towards an image, no pixel of it longer than `ratio` x the 90th percentile.

    A pixel's length is its norm over the channels, the percentile is per view. SDXL's encoder sends
    back a few pixels that outweigh all others (arXiv 2310.12474, there with an absolute limit).
    """
    length = gradient.norm(dim=1, keepdim=True)
    limit = ratio * torch.quantile(length.float().flatten(1), 0.9, dim=1)[:, None, None, None]
    return gradient * torch.where(length > limit, limit / length, 1.0).to(gradient)


def require_finite(name: str, tensor: Float[Tensor, "*shape"], step: int) -> None:
    """Stops the run where `tensor` holds a NaN or an infinity, saying which, when and how many."""
    bad = ~torch.isfinite(tensor.detach())
    if bad.any():
        nan = int(tensor.isnan().sum())
        raise FloatingPointError(
            f"step {step}: {name} holds {int(bad.sum())} numbers of {tensor.numel()} that are not finite "
            f"({nan} NaN), the first at index {tuple(bad.nonzero()[0].tolist())} of {tuple(tensor.shape)}. "
            "Go back to the last checkpoint with a lower lr or guidance_scale, or a wider dtype or vae_dtype."
        )
