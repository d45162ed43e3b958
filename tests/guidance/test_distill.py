"""The three ways in which a teacher's opinion becomes a gradient, with a teacher known in closed form."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.oracles import LIT, latents_of, normal, views, world
from tests.helpers.teachers import teacher_settings
from voxsds.guidance.distill import distill
from voxsds.guidance.noise import clean_estimate, noise_between, noise_latents
from voxsds.guidance.oracle import OracleTeacher
from voxsds.guidance.sampling import denoise, jump_schedule
from voxsds.guidance.sds import weight
from voxsds.world.palette import GRASS, SAND, SNOW, STONE

TARGET, START = world(SNOW, STONE), world(GRASS, SAND)
SDS = teacher_settings("oracle", guidance_scale=2.0)
BRIDGE = replace(SDS, method="bridge", source_prompt="what was there")
JUMP = replace(SDS, method="jump")
TIMESTEPS = torch.tensor([400, 700])


class Asked(OracleTeacher):
    """An oracle that remembers at which timesteps it was asked."""

    def __init__(self, *worlds):
        super().__init__(*worlds, LIT, 16)
        self.timesteps: list[list[int]] = []

    def predict_noise(self, noisy, timesteps, rays):
        self.timesteps.append(timesteps.tolist())
        return super().predict_noise(noisy, timesteps, rays)


def question(seed: int = 0):
    """Latents of the start, rays, timesteps and noise."""
    latents = latents_of(START, views())
    return latents, views(), TIMESTEPS, normal(seed, latents)


def test_at_the_start_a_bridge_is_the_difference_of_the_two_predictions():
    teacher = OracleTeacher([TARGET], [START], LIT, 16)
    latents, rays, t, noise = question()
    said = distill(teacher, latents, rays, t, noise, BRIDGE, 0, latents)
    alpha_bar = teacher.alphas_cumprod[t]
    source, prompt = teacher.predict_noise(noise_latents(latents, noise, alpha_bar), t, rays)
    weights = weight("as", alpha_bar)[:, None, None, None]
    torch.testing.assert_close(
        said.gradient, weights * 2.0 * (prompt - source) / latents.numel(), rtol=1e-4, atol=1e-8
    )
    assert said.gradient.abs().max() > 0


def test_a_bridge_leaves_alone_what_source_and_prompt_agree_on_whatever_the_noise():
    teacher = OracleTeacher([START], [START], LIT, 16)
    for seed in range(3):
        latents, *asked = question(seed)
        bridge = distill(teacher, latents, *asked, BRIDGE, 0, latents).gradient
        assert torch.equal(bridge, torch.zeros_like(bridge))
        assert distill(teacher, latents, *asked, SDS, 0).gradient.abs().max() > 0


def test_a_bridge_is_less_noisy_than_score_distillation():
    """Over draws of the noise, as a share of the mean gradient."""
    teacher = OracleTeacher([TARGET], [START], LIT, 16)

    def spread(knobs):
        said = [distill(teacher, *question(s), knobs, 0, latents_of(START, views())) for s in range(16)]
        drawn = torch.stack([one.gradient for one in said])
        return (drawn.std(dim=0).norm() / drawn.mean(dim=0).norm()).item()

    assert spread(BRIDGE) < 0.5 * spread(SDS)


def test_at_its_goal_a_bridge_comes_to_rest():
    """Where the render is what the prompt asks for, both predictions are the noise, but for the spread."""
    teacher = OracleTeacher([TARGET], [START], LIT, 16)
    _, rays, t, noise = question()
    start, goal = latents_of(START, rays), latents_of(TARGET, rays)
    once = replace(BRIDGE, guidance_scale=1.0)
    pulls = [
        distill(teacher, z, rays, t, noise, once, 0, start).gradient.norm().item() for z in (start, goal)
    ]
    assert pulls[1] < 1e-5 * pulls[0]


def test_a_bridge_needs_to_know_what_the_map_shows():
    with pytest.raises(ValueError, match="say what the input map shows"):
        replace(SDS, method="bridge")
    assert (SDS.opposite, BRIDGE.opposite) == (None, "what was there")


def test_a_jump_pulls_to_where_the_teacher_s_steps_end():
    teacher = OracleTeacher([TARGET], [START], LIT, 16)
    latents, rays, t, noise = question()
    said = distill(teacher, latents, rays, t, noise, JUMP, 0)
    alpha_bar = teacher.alphas_cumprod[t]
    noisy = noise_latents(latents, noise, alpha_bar)
    clean = denoise(teacher, noisy, jump_schedule(t, None), rays, 2.0, False)
    torch.testing.assert_close(said.clean, clean)
    a, s = alpha_bar.sqrt()[:, None, None, None], (1 - alpha_bar).sqrt()[:, None, None, None]
    expected = a * s * (a / s) * (latents - clean) / latents.numel()
    torch.testing.assert_close(said.gradient, expected, rtol=1e-4, atol=1e-8)


def test_a_jump_ends_in_one_world_where_a_look_sees_the_mean_of_two():
    teacher = OracleTeacher([TARGET, START], [START], LIT, 16, spread=0.02)
    rays = views()
    both = torch.stack([latents_of(blocks, rays) for blocks in (TARGET, START)])
    noise, t = normal(1, both[0]), torch.tensor([950, 950])

    def distance(knobs):
        clean = distill(teacher, both.mean(dim=0), rays, t, noise, knobs, 0).clean
        return (clean - both).square().mean(dim=(2, 3, 4)).sqrt().min(dim=0).values.mean().item()

    look, jump = (distance(replace(knobs, guidance_scale=1.0)) for knobs in (SDS, JUMP))
    assert jump < 0.5 * look


def test_a_jump_goes_down_in_even_steps():
    schedule = jump_schedule(torch.tensor([749, 100]), None)
    assert schedule.T.tolist() == [[749, 562, 374, 187], [100, 75, 50, 25]]


def test_a_distilled_teacher_jumps_by_its_own_steps():
    own = (249, 499, 749)
    assert jump_schedule(torch.tensor([749, 499]), own).T.tolist() == [[749, 499, 249], [499, 499, 249]]
    assert jump_schedule(torch.tensor([249, 249]), own).T.tolist() == [[249], [249]]
    teacher = Asked([TARGET], [START])
    latents, rays, _, noise = question()
    distill(teacher, latents, rays, torch.tensor([499, 749]), noise, replace(JUMP, timesteps=own), 0)
    assert {t for asked in teacher.timesteps for t in asked} <= set(own) and len(teacher.timesteps) == 3


def test_a_step_to_the_same_timestep_changes_nothing():
    teacher = OracleTeacher([TARGET], [START], LIT, 16)
    latents, rays, t, noise = question()
    noisy = noise_latents(latents, noise, teacher.alphas_cumprod[t])
    once, twice = (
        denoise(teacher, noisy, schedule, rays, 3.0, True) for schedule in (t[None], torch.stack([t, t]))
    )
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-4)


def test_the_noise_between_undoes_the_clean_estimate():
    noisy, predicted = normal(0, torch.zeros(2, 4, 3, 5)), normal(1, torch.zeros(2, 4, 3, 5))
    alpha_bar = torch.tensor([0.1, 0.9])
    clean = clean_estimate(noisy, predicted, alpha_bar)
    torch.testing.assert_close(noise_between(clean, noisy, alpha_bar), predicted, rtol=1e-4, atol=1e-5)
