"""The closed-form teacher: right where it can be computed by other means, and a pull towards its worlds."""

import pytest
import torch

from tests.helpers.oracles import LIT, latents_of, normal, views, world
from tests.helpers.teachers import teacher_settings
from voxsds.guidance.distill import distill
from voxsds.guidance.load import load_teacher
from voxsds.guidance.noise import noise_latents
from voxsds.guidance.oracle import OracleTeacher, posterior_mean
from voxsds.guidance.probe import probe
from voxsds.guidance.sampling import sample
from voxsds.guidance.sds import surrogate_loss
from voxsds.guidance.teacher import Teacher
from voxsds.render.rays import RayBundle
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap, write_map
from voxsds.world.palette import DEFAULT_PALETTE, GRASS, SAND, SNOW, STONE


def test_posterior_mean_agrees_with_numerical_integration():
    """One pixel: E[x | a x + s eps = z] by summing over a fine grid of x."""
    centres = torch.tensor([-0.6, 0.1, 0.9], dtype=torch.float64)
    alpha_bar, spread = torch.tensor(0.3, dtype=torch.float64), 0.15
    x = torch.linspace(-3, 3, 200_001, dtype=torch.float64)
    prior = torch.exp(-((x[:, None] - centres) ** 2) / (2 * spread**2)).sum(1)
    for z in (-1.0, 0.05, 0.4):
        likelihood = torch.exp(-((z - alpha_bar.sqrt() * x) ** 2) / (2 * (1 - alpha_bar)))
        expected = (x * prior * likelihood).sum() / (prior * likelihood).sum()
        noisy = torch.full((1, 1, 1), z, dtype=torch.float64)
        assert posterior_mean(noisy, centres[:, None, None, None], alpha_bar, spread).item() == pytest.approx(
            expected.item(), rel=1e-9
        )


def test_posterior_mean_between_two_worlds_is_their_middle():
    centres = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert torch.equal(
        posterior_mean(torch.zeros(3, 4, 4), centres, torch.tensor(0.5), 0.1), torch.zeros(3, 4, 4)
    )


def test_it_finds_the_noise_of_its_own_world_and_tells_worlds_apart():
    target, other = world(SNOW, STONE), world(GRASS, SAND)
    teacher: Teacher = OracleTeacher([target], [other], LIT, 16)
    rays = views()
    at_target = probe(teacher, latents_of(target, rays), rays, [300, 700])
    at_other = probe(teacher, latents_of(other, rays), rays, [300, 700])
    assert at_target.eps < 0.05 and at_target.margin > 0.05
    assert at_other.eps > 0.1 and at_other.margin < -0.05


def test_each_view_is_compared_with_the_world_from_there():
    """The views in another order get the answers in that order."""
    teacher = OracleTeacher([world(SNOW, STONE)], [world(GRASS, SAND)], LIT, 16)
    rays = views()
    turned = RayBundle(rays.eye.flip(0), rays.basis.flip(0), rays.width, rays.height)
    noisy, t = normal(0, latents_of(world(SNOW, STONE), rays)), torch.tensor([200, 500])
    expected = [answer.flip(0) for answer in teacher.predict_noise(noisy, t, rays)]
    torch.testing.assert_close(list(teacher.predict_noise(noisy.flip(0), t.flip(0), turned)), expected)


@pytest.mark.parametrize(
    "method, scale, clamp",
    [("sds", 1.0, False), ("sds", 5.0, True), ("jump", 1.0, False), ("jump", 5.0, True)],
)
def test_latents_are_pulled_to_the_mean_of_a_gaussian(method, scale, clamp):
    """The fixed point of SDS and jumps with the ideal denoiser of one Gaussian is its mean: here, a view."""
    target, start = world(SNOW, STONE), world(GRASS, SAND)
    teacher, rays = OracleTeacher([target], [start, target], LIT, 16), views()
    goal = latents_of(target, rays)
    latents = latents_of(start, rays).requires_grad_()
    before = (latents - goal).square().mean().sqrt().item()
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([latents], 0.05)
    for step in range(200):
        said = distill(
            teacher,
            latents,
            rays,
            torch.randint(20, 700, (2,), generator=draws),
            torch.randn(goal.shape, generator=draws),
            teacher_settings("oracle", guidance_scale=scale, clamp=clamp, method=method),
            step,
        )
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimizer.zero_grad()
        surrogate_loss(latents, said.gradient).backward()
        optimizer.step()
    after = (latents - goal).square().mean().sqrt().item()
    assert before > 0.3 and after < 0.05


def test_guidance_beyond_1_is_pulled_back_into_the_range_of_images():
    target, other = world(SNOW, STONE), world(GRASS, SAND)
    teacher, rays = OracleTeacher([target], [other], LIT, 16), views()
    latents = latents_of(other, rays)
    noise, t = normal(0, latents), torch.tensor([500, 600])
    free, clamped = (
        distill(
            teacher, latents, rays, t, noise, teacher_settings("oracle", guidance_scale=5.0, clamp=clamp), 0
        ).clean
        for clamp in (False, True)
    )
    assert free.abs().max() > 1.5
    torch.testing.assert_close(clamped, free.clamp(-1, 1), rtol=0, atol=1e-5)


def test_a_sample_of_the_oracle_is_its_world():
    target, rays = world(SNOW, STONE), views()
    teacher = OracleTeacher([target], [world(GRASS, SAND)], LIT, 16, spread=0.01)
    drawn = sample(teacher, 20, normal(0, latents_of(target, rays)), 1.0, rays)
    assert (drawn - (latents_of(target, rays) / 2 + 0.5)).abs().max() < 0.05


def test_encoding_and_decoding_are_inverse_on_images():
    teacher = OracleTeacher([world(SNOW, STONE)], [world(GRASS, SAND)], LIT, 16)
    images = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher.decode(teacher.encode(images)), images)
    assert teacher.encode(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)).flatten().tolist() == [-1, 0, 1]


def test_one_is_made_from_the_map_to_arrive_at(tmp_path):
    target, rays = world(SNOW, STONE), views()
    write_map(tmp_path / "map.json", BlockMap(target, DEFAULT_PALETTE, Frame((4.0, 4.0)), {}))
    settings = teacher_settings(tmp_path / "map.json", kind="oracle", resolution=16)
    made = load_teacher(settings, "any prompt", tmp_path)
    known = OracleTeacher([target], [target], LIT, 16)
    noisy, t = normal(0, latents_of(target, rays)), torch.tensor([200, 500])
    assert isinstance(made, Teacher) and made.resolution == 16
    torch.testing.assert_close(made.predict_noise(noisy, t, rays), known.predict_noise(noisy, t, rays))


def test_what_it_needs_is_said():
    with pytest.raises(ValueError, match="at least one"):
        OracleTeacher([], [world(SNOW, STONE)], LIT, 16)
    teacher = OracleTeacher([world(SNOW, STONE)], [world(SNOW, STONE)], LIT, 16)
    noisy = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match="must know the rays"):
        teacher.predict_noise(noisy, torch.tensor([5]), None)


def test_in_pure_noise_it_sees_its_world():
    target, rays = world(SNOW, STONE), views()
    teacher = OracleTeacher([target], [world(GRASS, SAND)], LIT, 16)
    goal = latents_of(target, rays)
    noise = normal(0, goal)
    alpha_bar = teacher.alphas_cumprod[torch.tensor([999, 999])]
    noisy = noise_latents(torch.zeros_like(goal), noise, alpha_bar)
    _, conditional = teacher.predict_noise(noisy, torch.tensor([999, 999]), rays)
    clean = (noisy - (1 - alpha_bar[0]).sqrt() * conditional) / alpha_bar[0].sqrt()
    assert (clean - goal).abs().mean() < 0.02
