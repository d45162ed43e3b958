"""What a teacher is told of the camera, and which way round the worlds lie that it was taught."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.recipe import read_recipe
from teacher.worlds.materials import STONE, WATER
from teacher.worlds.world import build
from tests.helpers.oracles import LIT, normal
from tests.helpers.teachers import PROMPT, teacher_settings
from voxsds.captions.attributes import Attributes, Structure
from voxsds.captions.styles import TEACHER, Style
from voxsds.files.params import read_params
from voxsds.guidance.load import load_teacher
from voxsds.guidance.noise import noise_latents
from voxsds.guidance.sdxl.viewpoint import camera_ids, size_ids, towards_camera
from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.render.renderer import render
from voxsds.world.cameras import Frame
from voxsds.world.field import solid_field
from voxsds.world.poses import PoseLaw, orbit_pose

pytest_plugins = ["tests.helpers.pipelines"]
LAW = PoseLaw((15.0, 52.0), (1.3, 1.65), 45.0, 0.36, 0.05)
SHAPE, FRAME = (16, 12, 16), Frame((8.0, 8.0))


def orbit(*azimuths: float, elevation: float = 30.0) -> RayBundle:
    cameras = [orbit_pose(LAW, SHAPE, FRAME, 32, float(azimuth), elevation, 1.5) for azimuth in azimuths]
    return ray_bundle(cameras, FRAME)


def test_directions_are_those_of_the_orbit():
    expected = [[np.cos(np.pi / 6), 0.5, 0.0], [0.0, 0.5, np.cos(np.pi / 6)]]
    np.testing.assert_allclose(towards_camera(orbit(0, 90)), expected, atol=1e-6)


def test_the_six_numbers_hold_the_direction_where_sdxl_has_width_and_crop():
    (row,) = camera_ids(torch.tensor([[-1.0, 0.5, 0.0]]), size_ids(128)).tolist()
    assert row == [128, 96, 0, 64, 128, 128]


@pytest.mark.parametrize("low_memory", [False, True])
def test_only_a_teacher_with_a_camera_file_is_told(folder, cache, tmp_path, low_memory):
    folder = Path(shutil.copytree(folder, tmp_path / "model"))
    noisy, timesteps, rays = torch.zeros(2, 4, 16, 16), torch.tensor([300, 700]), orbit(0, 200)

    def asked(rays: RayBundle | None) -> torch.Tensor:
        teacher = load_teacher(teacher_settings(folder, low_memory=low_memory), cache)
        channels = teacher.unet.config["in_channels"]
        return torch.stack(teacher.predict(teacher.read(PROMPT, None), noisy[:, :channels], timesteps, rays))

    assert torch.equal(asked(rays), asked(None))
    (folder / "camera.json").write_text("{}")
    assert not torch.allclose(asked(rays), asked(None))
    one_by_one = torch.cat([asked(orbit(0, 0))[:, :1], asked(orbit(200, 200))[:, 1:]], dim=1)
    torch.testing.assert_close(asked(rays), one_by_one, atol=1e-4, rtol=1e-4)


def sea_in_the_west(blocks: np.ndarray) -> bool:
    columns = (blocks == WATER).any(axis=1)
    half = len(columns) // 2
    return bool(columns[:half].sum() > 2 * columns[half:].sum())


def test_worlds_that_are_faced_lie_the_same_way_round():
    def beach(seed: int, style: Style) -> np.ndarray:
        return build(Attributes("sandy", "beach"), np.random.default_rng(seed), style).blocks

    assert all(sea_in_the_west(beach(seed, TEACHER)) for seed in range(12))
    assert not all(sea_in_the_west(beach(seed, replace(TEACHER, faced=False))) for seed in range(12))
    pair = Attributes("grassy", "plain", (Structure("tower", "stone", 2),))
    for i in range(8):
        stone = build(pair, np.random.default_rng(i), TEACHER).blocks[:, 8:] == STONE
        x, z = np.nonzero(stone.any(axis=1))
        assert np.ptp(z) > np.ptp(x)  # a row from north to south


@pytest.mark.slow
def test_the_tiny_teacher_finds_noise_best_where_it_is_told_the_right_side(tmp_path):
    settings = read_recipe(read_params("params.yaml")).teacher
    teacher = load_teacher(settings, tmp_path)
    question = teacher.read("a sandy beach by the water", None)
    opacity, material = solid_field(
        build(Attributes("sandy", "beach"), np.random.default_rng(3), TEACHER).blocks, len(LIT)
    )
    here, opposite = (
        ray_bundle(
            [orbit_pose(LAW, (32, 24, 32), Frame((16.0, 16.0)), 128, azimuth, 30.0, 1.45)],
            Frame((16.0, 16.0)),
        )
        for azimuth in (20.0, 200.0)
    )
    latents = teacher.encode(render(opacity, material, LIT, here).rgba[:, :3])
    noise, timesteps = normal(1, latents), torch.tensor([950])
    noisy = noise_latents(latents, noise, teacher.noise.at(timesteps, latents))
    right, untold, wrong = (
        (teacher.predict_towards(question, noisy, timesteps, rays) - noise).square().mean().item()
        for rays in (here, None, opposite)
    )
    assert right < untold < wrong
