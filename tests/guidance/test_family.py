"""A family of teachers of one's own: a toy, through the same doors as those that are shipped."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import colours
from tests.helpers.colours import ColourModel, ColourTeacher
from tests.helpers.edit import house_on_grass, recipe, training
from tests.helpers.teachers import ASK
from voxsds.guidance.distill import distill
from voxsds.guidance.load import Family
from voxsds.guidance.probe import probe
from voxsds.guidance.sampling import sample
from voxsds.guidance.sds import surrogate_loss
from voxsds.guidance.teacher import Teacher
from voxsds.train.training import train

PALETTE = {"red": [0.9, 0.1, 0.1], "green": [0.1, 0.8, 0.2], "blue": [0.1, 0.2, 0.9]}


@pytest.fixture
def model(tmp_path: Path) -> ColourModel:
    rows = [" ".join([name, *map(str, colour)]) for name, colour in PALETTE.items()]
    (tmp_path / "colours.txt").write_text("\n".join(rows))
    return ColourModel("colour", str(tmp_path / "colours.txt"))


@pytest.fixture
def teacher(model) -> ColourTeacher:
    return colours.load(model, replace(ASK, resolution=16), Path(), "cpu", ())


def settled(teacher: Teacher, text: str, against: str | None = None, **ask) -> torch.Tensor:
    """Two grey images after 150 steps of distillation."""
    question, knobs = teacher.read(text, against), replace(ASK, guidance_scale=1.0, **ask)
    images = torch.full((2, 3, 16, 16), 0.5, requires_grad=True)
    optimizer, draws = torch.optim.Adam([images], 0.02), torch.Generator().manual_seed(0)
    for step in range(150):
        latents = teacher.encode(images)
        timesteps = torch.randint(20, 900, (2,), generator=draws)
        noise = torch.randn(latents.shape, generator=draws)
        said = distill(teacher, question, latents, None, timesteps, noise, knobs, step)
        optimizer.zero_grad()
        surrogate_loss(latents, said.gradient).backward()
        optimizer.step()
    return images.detach()


def test_the_module_is_a_family_and_what_it_loads_a_teacher(model, teacher):
    assert isinstance(colours, Family) and isinstance(teacher, Teacher)
    assert colours.needs(model, False).ready and colours.inputs(model) == [Path(model.file)]
    assert colours.vocabulary(model) == teacher.vocabulary == PALETTE.keys()


@pytest.mark.parametrize("method", ["sds", "jump"])
@pytest.mark.parametrize("name", PALETTE)
def test_images_take_on_the_colour_of_the_text(teacher, name, method):
    colour = torch.tensor(PALETTE[name])[:, None, None]
    assert (settled(teacher, f"a {name} wall", method=method) - colour).abs().max() < 0.06


def test_a_sample_is_of_the_colour_of_the_text(teacher):
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    drawn = sample(teacher, teacher.read("blue", None), 8, noise, 1.0)
    # A sample lies around the colour by the spread of its images, .05 of a pixel in 0..1.
    assert (drawn.mean(dim=(0, 2, 3)) - torch.tensor(PALETTE["blue"])).abs().max() < 0.05


def test_the_probe_knows_the_right_text(teacher):
    images = torch.tensor(PALETTE["green"])[:, None, None].expand(2, 3, 16, 16)
    margins = {
        name: probe(teacher, teacher.read(name, None), teacher.encode(images), None, [300, 700]).margin
        for name in PALETTE
    }
    assert margins["green"] > 0 and max(margins, key=margins.__getitem__) == "green"


def test_a_training_comes_nearer_to_what_it_asks_for(teacher):
    run = training(house_on_grass(), (teacher, teacher.read("blue", None)), recipe(steps=60), size=16)
    *_, last = train(run)
    assert last.probe is not None and last.probe["eps"] < 0.8 * run.begun.eps
