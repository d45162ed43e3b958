"""The formulas of score distillation, held against hand-computed values, fixed points and laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.oracles import DIFFUSION
from voxsds.guidance.noise import Level, clean_estimate
from voxsds.guidance.sampling import trailing_timesteps
from voxsds.guidance.sds import (
    clamp_noise,
    clip_pixels,
    draw_timesteps,
    guided_noise,
    require_finite,
    rescaled_noise,
    sds_gradient,
    surrogate_loss,
    weight,
)
from voxsds.guidance.sdxl.lightning import check_checkpoint, own_timesteps
from voxsds.guidance.words import known_share, prompt_warning

SHAPE = (2, 4, 3, 5)
levels = st.tuples(st.floats(0.05, 2.0), st.floats(0.05, 2.0))  # amplitudes of signal and noise
seeds = st.integers(0, 2**31 - 1)


def level_of(a: float, s: float, views: int = 1) -> Level:
    """That of `views` views with a times their latents and s times noise."""
    signal, noise = (torch.full((views,), value**2, dtype=torch.float64) for value in (a, s))
    return Level(signal, noise)


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(deadline=None)
@given(seeds)
def test_guidance_0_is_against_the_prompt_and_1_towards_it_exactly(seed):
    against, towards = normal(seed, *SHAPE).float(), 1e4 * normal(seed + 1, *SHAPE).float()
    assert torch.equal(guided_noise(against, towards, 0.0), against)
    assert torch.equal(guided_noise(against, towards, 1.0), towards)
    torch.testing.assert_close(guided_noise(against, towards, 7.5), against + 7.5 * (towards - against))


@pytest.mark.parametrize("a, s", [(0.6, 0.8), (0.25, 0.75)])
def test_weights_at_a_known_noise_level(a, s):
    values = {kind: weight(kind, level_of(a, s)).item() for kind in ("as", "s2", "one")}
    total = a**2 + s**2  # 1 of diffusion
    assert values == pytest.approx({"as": a * s / total, "s2": s**2 / total, "one": 1.0})


def test_weights_of_diffusion_are_divided_by_exactly_one():
    """Rounded to single precision, abar and 1 - abar add up to 1 at every timestep."""
    level = DIFFUSION.at(torch.arange(len(DIFFUSION)), torch.ones(1))
    assert torch.equal(weight("as", level), (DIFFUSION.signal * DIFFUSION.noise).sqrt())
    assert torch.equal(weight("s2", level), DIFFUSION.noise)


def test_sds_gradient_of_one_wrong_latent():
    noise = torch.zeros(1, 1, 2, 3)
    predicted = noise.clone()
    predicted[0, 0, 1, 2] = 3.0
    gradient = sds_gradient(predicted, noise, torch.tensor([0.5]))
    assert gradient[0, 0, 1, 2] == pytest.approx(0.5 * 3 / 6)
    assert gradient.count_nonzero() == 1


def test_strength_of_the_gradient_does_not_depend_on_resolution():
    """The same picture on twice the latents: its loss moves as far per unit of change of the picture."""
    coarse, noise = normal(0, 1, 4, 8, 8), normal(1, 1, 4, 8, 8)
    fine = [x.repeat_interleave(2, -1).repeat_interleave(2, -2) for x in (coarse, noise)]
    w = torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(sds_gradient(*fine, w).sum(), sds_gradient(coarse, noise, w).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_injected_gradient_arrives_bit_for_bit(dtype):
    latents = normal(0, *SHAPE, dtype=torch.float32).to(dtype).requires_grad_()
    gradient = (0.01 * normal(1, *SHAPE, dtype=torch.float32)).to(dtype)
    surrogate_loss(latents, gradient).backward()
    assert latents.grad is not None and torch.equal(latents.grad, gradient)


def test_the_common_squared_form_would_round_the_gradient_away():
    """Why surrogate_loss is a plain product: the usual form errs by more than 10 % in bfloat16."""
    latents = torch.ones(1000, dtype=torch.bfloat16).requires_grad_()
    gradient = (0.01 * normal(1, 1000, dtype=torch.float32)).bfloat16()
    (0.5 * (latents - (latents - gradient).detach()).square().sum()).backward()
    assert latents.grad is not None
    assert (latents.grad - gradient).norm() / gradient.norm() > 0.1


@settings(deadline=None)
@given(seeds, levels)
def test_clamped_noise_implies_a_clean_estimate_in_the_range(seed, level):
    noisy, predicted = 3 * normal(seed, *SHAPE), 3 * normal(seed + 1, *SHAPE)
    level = level_of(*level, views=2)
    limits = torch.tensor([[-1.0, 1.0], [-0.5, 2.0], [0.0, 1.0], [-3.0, -1.0]], dtype=torch.float64)
    clamped = clamp_noise(noisy, predicted, level, limits)
    expected = clean_estimate(noisy, predicted, level).clamp(
        limits[:, 0, None, None], limits[:, 1, None, None]
    )
    torch.testing.assert_close(clean_estimate(noisy, clamped, level), expected, rtol=1e-9, atol=1e-8)


@settings(deadline=None)
@given(seeds, levels, st.floats(0.1, 1))
def test_rescaling_gives_guided_estimates_the_contrast_of_unguided_ones(seed, level, share):
    noisy, conditional = normal(seed, *SHAPE), normal(seed + 1, *SHAPE)
    guided = guided_noise(normal(seed + 2, *SHAPE), conditional, 8.0)
    level = level_of(*level, views=2)
    predictions = guided, conditional, rescaled_noise(noisy, guided, conditional, level, share)
    strong, plain, mixed = (clean_estimate(noisy, p, level) for p in predictions)
    contrast = [x.std(dim=(2, 3)) for x in (strong, plain, mixed)]
    torch.testing.assert_close(contrast[2], (1 - share) * contrast[0] + share * contrast[1])
    torch.testing.assert_close(mixed.mean(dim=(2, 3)), strong.mean(dim=(2, 3)))


def test_clamping_leaves_a_prediction_inside_the_range_bit_for_bit():
    noisy, predicted = normal(0, *SHAPE).float(), normal(1, *SHAPE).float()
    wide = torch.tensor([[-1e3, 1e3]] * 4)
    level = Level(torch.tensor([0.1, 0.9]), torch.tensor([0.9, 0.1]))
    assert torch.equal(clamp_noise(noisy, predicted, level, wide), predicted)


def test_no_pixel_outweighs_the_rest_after_clipping():
    gradient = 1e-3 * normal(0, 2, 3, 16, 16).float()
    gradient[0, :, 3, 4] *= 1e4
    clipped = clip_pixels(gradient, 1.0)
    limit = gradient.norm(dim=1).flatten(1).quantile(0.9, dim=1)
    assert (clipped.norm(dim=1).flatten(1) <= limit[:, None] * 1.0001).all()
    inside = gradient.norm(dim=1) < 0.999 * limit[:, None, None]
    assert torch.equal(clipped.movedim(1, -1)[inside], gradient.movedim(1, -1)[inside])
    direction = torch.nn.functional.cosine_similarity(clipped[0, :, 3, 4], gradient[0, :, 3, 4], dim=0)
    assert direction == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("bad, nan", [(math.nan, 2), (math.inf, 0)])
def test_a_number_that_is_not_finite_stops_the_run_with_evidence(bad, nan):
    tensor = torch.zeros(2, 3, 4)
    tensor[1, 2, 3] = tensor[1, 0, 2] = bad
    with pytest.raises(FloatingPointError, match=r"step 17: the prediction holds 2 numbers of 24") as error:
        require_finite("the prediction", tensor, 17)
    assert f"({nan} NaN), the first at index (1, 0, 2) of (2, 3, 4)" in str(error.value)


def test_the_largest_finite_number_passes():
    require_finite("latents", torch.full((3,), torch.finfo(torch.float32).max), 0)


def test_drawn_timesteps_fill_their_range_and_nothing_else():
    drawn = draw_timesteps(4000, 0.02, 0.05, 1000, None, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(range(20, 51))
    assert draw_timesteps(1, 1.0, 1.0, 1000, None, torch.Generator()).item() == 999


def test_a_distilled_teacher_is_asked_only_at_its_own_timesteps():
    drawn = draw_timesteps(200, 0.02, 0.6, 1000, (249, 499, 749), torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {249, 499}
    with pytest.raises(ValueError, match="widen t_min and t_max"):
        draw_timesteps(1, 0.02, 0.1, 1000, (249, 499), torch.Generator())


def test_trailing_steps_are_those_of_lightning():
    assert trailing_timesteps(4).tolist() == [999, 749, 499, 249]
    assert trailing_timesteps(1000).tolist() == list(range(999, -1, -1))
    assert own_timesteps("some/sdxl_lightning_2step_unet.safetensors") == (499, 999)
    assert own_timesteps("another_unet.safetensors") is None


@pytest.mark.parametrize(
    "file, timesteps, named",
    [
        ("sdxl_lightning_4step_lora.safetensors", (249,), "holds a lora: set `lora` to it"),
        ("sdxl_lightning_1step_unet_x0.safetensors", (999,), "1-step"),
        ("sdxl_lightning_4step_unet.safetensors", None, r"\[249, 499, 749, 999\]"),
        ("sdxl_lightning_4step_unet.safetensors", (249, 500), r"\[249, 499, 749, 999\]"),
    ],
)
def test_a_lightning_network_is_not_asked_what_it_never_learned(file, timesteps, named):
    with pytest.raises(ValueError, match=named):
        check_checkpoint(file, "unet", timesteps, 1.0)


def test_guiding_a_lightning_network_twice_is_said():
    with pytest.warns(UserWarning, match="guides twice"):
        check_checkpoint("sdxl_lightning_4step_unet.safetensors", "unet", (249,), 7.5)


def test_share_of_known_words():
    known = known_share("A stone TV, a stone DVD on snow!", {"a", "stone", "on", "snow"})
    assert known.share == pytest.approx(6 / 8) and known.unknown == ("tv", "dvd")
    with pytest.raises(ValueError, match="no words"):
        known_share("?!", {"a"})


def test_a_prompt_of_mostly_unknown_words_is_warned_of():
    words = {"a", "stone", "tower", "on"}
    assert prompt_warning("a stone tower on mars", words) is None
    assert prompt_warning("whatever it is", None) is None
    warned = prompt_warning("a neon city on mars", words)
    assert warned is not None and "40%" in warned and "neon, city, mars" in warned
