"""How the shipped models are made: the datasets' worlds and the training's step."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from teacher.optimization import Descent, Fit, WarmupCosine
from teacher.render_dataset import DatasetSettings, Job, make
from voxsds.files.params import read_section
from voxsds.world.poses import PoseLaw

HOW = Descent(lr=0.1, weight_decay=0.0, betas=(0.9, 0.99), warmup=5, average=0.9, seconds=1e9)


@pytest.fixture
def job(tmp_path):
    with open("teacher/params.yaml", encoding="utf-8") as file:
        params = yaml.safe_load(file)
    settings = read_section(params["datasets"], "teacher", DatasetSettings)
    settings = replace(settings, worlds=3, views=2, soft_worlds=1, resolution=32)
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (6, 3, 32, 32)).flush()
    return Job(0, "teacher", settings, read_section(params, "poses", PoseLaw), tmp_path / "images.npy")


def test_a_world_is_the_same_in_whatever_order_worlds_are_made(job):
    made = {index: make(job._replace(index=index)) for index in (0, 1, 2)}
    images = np.load(job.images)
    again = {index: make(job._replace(index=index)) for index in (2, 0)}
    assert np.array_equal(np.load(job.images), images)
    assert all(again[index].facts == made[index].facts for index in again)
    assert not np.array_equal(images[0:2], images[2:4])


def test_what_is_said_of_a_world_can_be_written_and_only_the_first_ones_are_softened(job):
    first, second = (make(job._replace(index=index)) for index in (0, 1))
    assert len(set(json.loads(json.dumps(first.facts))["captions"])) > 1
    assert first.soft is not None and first.soft.shape == (2, 3, 32, 32)
    assert second.soft is None


def line(steps: int) -> tuple[Fit, torch.Tensor]:
    """A fit of a line's slope, so far."""
    slope = torch.zeros(1, requires_grad=True)
    fit = Fit(lambda x: (slope * x - 3 * x).square().mean(), [slope], HOW)
    for step in range(steps):
        fit.advance(torch.linspace(-1, 1, 5) + step)
    return fit, slope


def test_a_training_finds_the_slope_and_its_average_follows():
    fit, slope = line(200)
    assert slope.item() == pytest.approx(3, abs=0.05)
    fit.averaged.copy_to([slope])
    assert slope.item() == pytest.approx(3, abs=0.05)


def test_a_training_that_was_left_goes_on_as_if_it_had_not_been(tmp_path):
    whole, slope = line(8)
    begun, _ = line(4)
    begun.save(tmp_path / "training.pt")
    resumed, again = line(0)
    resumed.load(tmp_path / "training.pt")
    for step in range(4, 8):
        resumed.advance(torch.linspace(-1, 1, 5) + step)
    assert torch.equal(again, slope) and torch.equal(resumed.averaged.mean[0], whole.averaged.mean[0])
    assert resumed.step == 8 and [path.name for path in tmp_path.iterdir()] == ["training.pt"]


def test_the_learning_rate_warms_up_and_falls():
    rate = WarmupCosine(peak=1.0, warmup=10, end=0.1)
    assert rate.at(0, 0.0) == pytest.approx(0.1)
    assert rate.at(10, 0.0) == pytest.approx(1.0)
    assert rate.at(10, 0.5) == pytest.approx(0.55)
    assert rate.at(10, 2.0) == pytest.approx(0.1)
