"""The ways in which a teacher's opinion becomes a gradient, with a teacher known in closed form."""

from dataclasses import replace

import pytest
import torch

from teacher.worlds.materials import GRASS, SAND, SNOW, STONE
from tests.helpers.oracles import DIFFUSION, LIT, SHIFTED, TABLES, latents_of, normal, oracle, views, world
from tests.helpers.teachers import ASK
from voxsds.guidance.distill import distill
from voxsds.guidance.noise import NoiseTable, noise_latents
from voxsds.guidance.oracle import OracleTeacher
from voxsds.guidance.sampling import denoise, jump_schedule

TARGET, START = world(SNOW, STONE), world(GRASS, SAND)
SDS = replace(ASK, guidance_scale=2.0)
JUMP = replace(SDS, method="jump")
TIMESTEPS = torch.tensor([400, 700])


@pytest.fixture(params=TABLES)
def table(request) -> NoiseTable:
    return TABLES[request.param]


class Asked(OracleTeacher):
    """An oracle that remembers at which timesteps it was asked."""

    def __init__(self, *arguments, **knobs):
        super().__init__(*arguments, **knobs)
        self.timesteps: list[list[int]] = []

    def predict(self, question, noisy, timesteps, rays):
        self.timesteps.append(timesteps.tolist())
        return super().predict(question, noisy, timesteps, rays)


def asked_about(seed: int = 0):
    """Latents of the start, rays, timesteps and noise."""
    latents = latents_of(START, views())
    return latents, views(), TIMESTEPS, normal(seed, latents)


def amplitudes(table: NoiseTable, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return table.at(timesteps, torch.zeros(())).amplitudes()


def test_the_gradient_is_the_weighted_difference_of_guided_prediction_and_noise(table):
    teacher, question = oracle([TARGET], [START], noise=table)
    latents, rays, t, noise = asked_about()
    said = distill(teacher, question, latents, rays, t, noise, SDS, 0)
    a, s = amplitudes(table, t)
    against, towards = teacher.predict(question, a * latents + s * noise, t, rays)
    guided = against + 2.0 * (towards - against)
    expected = a * s / (a**2 + s**2) * (guided - noise) / latents.numel()
    torch.testing.assert_close(said.gradient, expected, rtol=1e-4, atol=1e-8)
    assert said.gradient.abs().max() > 0


@pytest.mark.parametrize("kind", ["as", "s2", "one"])
@pytest.mark.parametrize("method", ["sds", "jump"])
def test_a_flow_says_what_diffusion_says_at_the_same_signal_to_noise(method, kind):
    knobs = replace(SDS, method=method, weight=kind)
    expected, found = (
        distill(*oracle([TARGET], [START], noise=table), *asked_about(), knobs, 0)
        for table in (DIFFUSION, SHIFTED)
    )
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(found.clean, expected.clean, rtol=1e-3, atol=1e-4)


def test_a_text_against_the_prompt_is_led_away_from(table):
    """From a render of it, further than where nothing in particular stands against the prompt."""
    worlds = {"": [TARGET, START], "goal": [TARGET], "start": [START]}
    teacher = OracleTeacher(worlds, LIT, 16, noise=table)
    latents, rays, t, noise = asked_about()
    way = latents_of(TARGET, rays) - latents
    went = [
        (distill(teacher, teacher.read("goal", other), latents, rays, t, noise, SDS, 0).clean - latents) * way
        for other in ("goal", "start")
    ]
    assert went[1].sum() > 1.5 * went[0].sum() > 0


def test_a_jump_pulls_to_where_the_teacher_s_steps_end(table):
    teacher, question = oracle([TARGET], [START], noise=table)
    latents, rays, t, noise = asked_about()
    said = distill(teacher, question, latents, rays, t, noise, JUMP, 0)
    noisy = noise_latents(latents, noise, table.at(t, latents))
    clean = denoise(teacher, question, noisy, jump_schedule(t, None), rays, 2.0, False)
    torch.testing.assert_close(said.clean, clean, rtol=1e-4, atol=1e-5)
    a, s = amplitudes(table, t)
    expected = a**2 / (a**2 + s**2) * (latents - clean) / latents.numel()
    torch.testing.assert_close(said.gradient, expected, rtol=1e-4, atol=1e-8)


def test_a_jump_ends_in_one_world_where_a_look_sees_the_mean_of_two(table):
    teacher, question = oracle([TARGET, START], [START], spread=0.02, noise=table)
    rays = views()
    both = torch.stack([latents_of(blocks, rays) for blocks in (TARGET, START)])
    noise, t = normal(1, both[0]), torch.tensor([950, 950])

    def distance(knobs):
        clean = distill(teacher, question, both.mean(dim=0), rays, t, noise, knobs, 0).clean
        return (clean - both).square().mean(dim=(2, 3, 4)).sqrt().min(dim=0).values.mean().item()

    look, jump = (distance(replace(knobs, guidance_scale=1.0)) for knobs in (SDS, JUMP))
    assert jump < 0.5 * look


def test_a_jump_goes_down_in_even_steps():
    schedule = jump_schedule(torch.tensor([749, 100]), None)
    assert schedule.T.tolist() == [[749, 562, 374, 187], [100, 75, 50, 25]]


def test_a_distilled_teacher_jumps_by_its_own_steps(table):
    own = (249, 499, 749)
    assert jump_schedule(torch.tensor([749, 499]), own).T.tolist() == [[749, 499, 249], [499, 499, 249]]
    assert jump_schedule(torch.tensor([249, 249]), own).T.tolist() == [[249], [249]]
    teacher, question = oracle([TARGET], [START], kind=Asked, noise=table)
    latents, rays, _, noise = asked_about()
    knobs = replace(JUMP, timesteps=own)
    distill(teacher, question, latents, rays, torch.tensor([499, 749]), noise, knobs, 0)
    assert {t for asked in teacher.timesteps for t in asked} <= set(own) and len(teacher.timesteps) == 3


def test_a_step_to_the_same_timestep_changes_nothing(table):
    teacher, question = oracle([TARGET], [START], noise=table)
    latents, rays, t, noise = asked_about()
    noisy = noise_latents(latents, noise, table.at(t, latents))
    once, twice = (
        denoise(teacher, question, noisy, schedule, rays, 3.0, True)
        for schedule in (t[None], torch.stack([t, t]))
    )
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-4)
