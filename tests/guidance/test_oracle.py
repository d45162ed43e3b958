"""The closed-form teacher: right where it can be computed by other means, and a pull towards its worlds."""

from dataclasses import replace

import pytest
import torch

from teacher.worlds.materials import ENGINE, GRASS, SAND, SNOW, STONE
from tests.helpers.oracles import LIT, TABLES, latents_of, normal, oracle, views, world
from tests.helpers.teachers import ASK
from voxsds.guidance.distill import distill
from voxsds.guidance.load import TeacherSettings, family, load_teacher
from voxsds.guidance.noise import Level, NoiseTable, clean_estimate, noise_latents
from voxsds.guidance.oracle import OracleModel, OracleTeacher, posterior_mean
from voxsds.guidance.probe import probe
from voxsds.guidance.sampling import sample
from voxsds.guidance.sds import surrogate_loss
from voxsds.guidance.teacher import Teacher
from voxsds.render.rays import RayBundle
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap, write_map


@pytest.mark.parametrize("variances", [(0.3, 0.7), (0.3**2, 0.7**2)], ids=TABLES)
def test_posterior_mean_agrees_with_numerical_integration(variances):
    """One pixel: E[x | a x + s eps = z] by summing over a fine grid of x."""
    centres = torch.tensor([-0.6, 0.1, 0.9], dtype=torch.float64)
    signal, noise = torch.tensor(variances, dtype=torch.float64)
    spread = 0.15
    x = torch.linspace(-3, 3, 200_001, dtype=torch.float64)
    prior = torch.exp(-((x[:, None] - centres) ** 2) / (2 * spread**2)).sum(1)
    for z in (-1.0, 0.05, 0.4):
        likelihood = torch.exp(-((z - signal.sqrt() * x) ** 2) / (2 * noise))
        expected = (x * prior * likelihood).sum() / (prior * likelihood).sum()
        noisy = torch.full((1, 1, 1), z, dtype=torch.float64)
        found = posterior_mean(noisy, centres[:, None, None, None], Level(signal, noise), spread)
        assert found.item() == pytest.approx(expected.item(), rel=1e-9)


def test_posterior_mean_between_two_worlds_is_their_middle():
    centres = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    middle = posterior_mean(torch.zeros(3, 4, 4), centres, Level(torch.tensor(0.5), torch.tensor(0.5)), 0.1)
    assert torch.equal(middle, torch.zeros(3, 4, 4))


@pytest.fixture(params=TABLES)
def table(request) -> NoiseTable:
    return TABLES[request.param]


def test_it_finds_the_noise_of_its_own_world_and_tells_worlds_apart(table):
    target, other = world(SNOW, STONE), world(GRASS, SAND)
    teacher, question = oracle([target], [other], noise=table)
    rays = views()
    at_target = probe(teacher, question, latents_of(target, rays), rays, [300, 700])
    at_other = probe(teacher, question, latents_of(other, rays), rays, [300, 700])
    assert at_target.eps < 0.05 and at_target.margin > 0.05
    assert at_other.eps > 0.1 and at_other.margin < -0.05


def test_each_view_is_compared_with_the_world_from_there(table):
    """The views in another order get the answers in that order."""
    teacher, question = oracle([world(SNOW, STONE)], [world(GRASS, SAND)], noise=table)
    rays = views()
    turned = RayBundle(rays.eye.flip(0), rays.basis.flip(0), rays.width, rays.height)
    noisy, t = normal(0, latents_of(world(SNOW, STONE), rays)), torch.tensor([200, 500])
    expected = [answer.flip(0) for answer in teacher.predict(question, noisy, t, rays)]
    found = teacher.predict(question, noisy.flip(0), t.flip(0), turned)
    torch.testing.assert_close(list(found), expected)


@pytest.mark.parametrize(
    "method, scale, clamp",
    [("sds", 1.0, False), ("sds", 5.0, True), ("jump", 1.0, False), ("jump", 5.0, True)],
)
def test_latents_are_pulled_to_the_mean_of_a_gaussian(table, method, scale, clamp):
    """The fixed point of SDS and jumps with the ideal denoiser of one Gaussian is its mean: here, a view."""
    target, start = world(SNOW, STONE), world(GRASS, SAND)
    (teacher, question), rays = oracle([target], [start, target], noise=table), views()
    goal = latents_of(target, rays)
    latents = latents_of(start, rays).requires_grad_()
    before = (latents - goal).square().mean().sqrt().item()
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([latents], 0.05)
    knobs = replace(ASK, guidance_scale=scale, clamp=clamp, method=method)
    for step in range(200):
        timesteps = torch.randint(20, 700, (2,), generator=draws)
        noise = torch.randn(goal.shape, generator=draws)
        said = distill(teacher, question, latents, rays, timesteps, noise, knobs, step)
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimizer.zero_grad()
        surrogate_loss(latents, said.gradient).backward()
        optimizer.step()
    after = (latents - goal).square().mean().sqrt().item()
    assert before > 0.3 and after < 0.05


def test_guidance_beyond_1_is_pulled_back_into_the_range_of_images(table):
    (teacher, question), rays = oracle([world(SNOW, STONE)], [world(GRASS, SAND)], noise=table), views()
    latents = latents_of(world(GRASS, SAND), rays)
    noise, t = normal(0, latents), torch.tensor([500, 600])
    free, clamped = (
        distill(teacher, question, latents, rays, t, noise, replace(ASK, clamp=clamp), 0).clean
        for clamp in (False, True)
    )
    assert free.abs().max() > 1.5
    torch.testing.assert_close(clamped, free.clamp(-1, 1), rtol=0, atol=1e-5)


def test_a_sample_of_the_oracle_is_its_world(table):
    target, rays = world(SNOW, STONE), views()
    teacher, question = oracle([target], [world(GRASS, SAND)], spread=0.01, noise=table)
    drawn = sample(teacher, question, 20, normal(0, latents_of(target, rays)), 1.0, rays)
    assert (drawn - (latents_of(target, rays) / 2 + 0.5)).abs().max() < 0.05


def test_encoding_and_decoding_are_inverse_on_images():
    teacher, _ = oracle([world(SNOW, STONE)], [world(GRASS, SAND)])
    images = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher.decode(teacher.encode(images)), images)
    assert teacher.encode(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)).flatten().tolist() == [-1, 0, 1]


def test_a_text_means_the_worlds_of_its_name_and_any_other_those_of_none():
    snow, grass, rays = world(SNOW, STONE), world(GRASS, SAND), views()
    teacher = OracleTeacher({"": [grass], "snow": [snow]}, LIT, 16)
    noisy, t = normal(0, latents_of(snow, rays)), torch.tensor([900, 900])
    asked = [teacher.read(*texts) for texts in (("snow", None), ("grass", "snow"), ("snow", "grass"))]
    first, second, third = (teacher.predict(question, noisy, t, rays) for question in asked)
    assert torch.equal(first.towards, second.against) and torch.equal(first.against, second.towards)
    assert torch.equal(first.towards, third.towards) and torch.equal(first.against, third.against)
    assert not torch.equal(first.towards, first.against)
    torch.testing.assert_close(teacher.predict_towards(asked[0], noisy, t, rays), first.towards)


def test_one_is_made_from_the_map_to_arrive_at(tmp_path):
    target, rays = world(SNOW, STONE), views()
    write_map(tmp_path / "map.json", BlockMap(target, ENGINE, Frame((4.0, 4.0)), {}))
    model = OracleModel("oracle", str(tmp_path / "map.json"), "engine")
    made = load_teacher(TeacherSettings(model, replace(ASK, resolution=16, clamp=True)), tmp_path)
    known, question = oracle([target], [target])
    noisy, t = normal(0, latents_of(target, rays)), torch.tensor([200, 500])
    assert isinstance(made, Teacher) and made.resolution == 16
    found = made.predict(made.read("any prompt", None), noisy, t, rays)
    torch.testing.assert_close(found, known.predict(question, noisy, t, rays))
    needs = family(model).needs(model, ask_hub=False)
    assert needs.ready and needs.weights == 4 * 8 * 8 * 8 * len(ENGINE)
    assert family(model).inputs(model) == [tmp_path / "map.json"] and family(model).vocabulary(model) is None


def test_what_it_needs_is_said(tmp_path):
    with pytest.raises(ValueError, match="at least one world for every text"):
        oracle([], [world(SNOW, STONE)])
    with pytest.raises(ValueError, match="and for the empty one"):
        OracleTeacher({"snow": [world(SNOW, STONE)]}, LIT, 16)
    teacher, question = oracle([world(SNOW, STONE)], [world(SNOW, STONE)])
    with pytest.raises(ValueError, match="must know the rays"):
        teacher.predict(question, torch.zeros(1, 3, 16, 16), torch.tensor([5]), None)
    model = OracleModel("oracle", str(tmp_path / "map.json"), "engine")
    (source,) = family(model).needs(model, ask_hub=False).sources
    assert source.problem and "there is no such map" in source.problem


def test_in_pure_noise_it_sees_its_world(table):
    target, rays = world(SNOW, STONE), views()
    teacher, question = oracle([target], [world(GRASS, SAND)], noise=table)
    goal = latents_of(target, rays)
    noise, last = normal(0, goal), torch.tensor([999, 999])
    level = table.at(last, goal)
    noisy = noise_latents(torch.zeros_like(goal), noise, level)
    towards = teacher.predict(question, noisy, last, rays).towards
    assert (clean_estimate(noisy, towards, level) - goal).abs().mean() < 0.02
