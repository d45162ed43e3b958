"""Folders of random weights in the Hub's layout, as every kind of teacher; partial ones, named."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.make_random_sdxl import LORA, SMALL, UNET, write_folder
from tests.helpers.teachers import PROMPT, changed, teacher_settings
from voxsds.files.params import read_params, read_section
from voxsds.guidance.load import TeacherSettings, load_teacher
from voxsds.guidance.teacher import Teacher

pytest_plugins = ["tests.helpers.pipelines"]
pytestmark = pytest.mark.usefixtures("one_thread")
VIEWS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "sdxl"
    write_folder(folder, SMALL, "cpu")
    return folder


@pytest.fixture(scope="module")
def settings(made) -> TeacherSettings:
    return teacher_settings(made / "base", variant="fp16", vae=str(made / "vae"), resolution=64)


def loaded(settings: TeacherSettings, made: Path) -> Teacher:
    return load_teacher(settings, made / "prompts")


def asked(teacher: Teacher) -> torch.Tensor:
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.stack(teacher.predict(teacher.read(PROMPT, None), noisy, torch.tensor([249, 749]), None))


@pytest.mark.parametrize("name", ["sdxl", "sdxl-lightning"])
def test_its_params_make_the_projects_teachers_of_it(made, name):
    teachers = read_params(made / "params.yaml")["teachers"]
    settings = read_section(teachers, name, TeacherSettings)
    assert Path(settings.model.folder) == made / "base" and settings.model.local_files_only
    teacher = loaded(changed(settings, resolution=64), made)
    prediction = asked(teacher)
    assert prediction.isfinite().all() and 0.1 < prediction.std() < 100
    with torch.no_grad():
        assert teacher.encode(VIEWS).shape == (2, 4, 8, 8)


def test_base_lightning_unet_and_lora_are_three_networks(made, settings):
    lightning = {"timesteps": (249, 749), "guidance_scale": 1.0}
    answers = [
        asked(loaded(chosen, made))
        for chosen in (
            settings,
            changed(settings, unet=str(made / UNET), **lightning),
            changed(settings, lora=str(made / LORA), **lightning),
        )
    ]
    base, unet, lora = answers
    assert (base - unet).norm() / base.norm() > 0.5  # other random weights
    assert 1e-3 < (base - lora).norm() / base.norm() < 0.5  # a small change of these


def test_the_prediction_towards_the_prompt_alone_is_the_second_of_both(made, settings):
    teacher = loaded(settings, made)
    noisy, t = torch.randn(2, 4, 8, 8), torch.tensor([249, 749])
    question = teacher.read(PROMPT, None)
    both = teacher.predict(question, noisy, t, None)
    torch.testing.assert_close(teacher.predict_towards(question, noisy, t, None), both.towards)


def test_low_memory_changes_no_latent_gradient_or_prediction(made, settings):
    usual, low = loaded(settings, made), loaded(changed(settings, low_memory=True), made)
    slopes = []
    for teacher in (usual, low):
        images = VIEWS.clone().requires_grad_()
        teacher.encode(images).square().sum().backward()
        slopes.append(images.grad)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(asked(low), asked(usual), rtol=1e-4, atol=1e-4)
    assert low.autoencoder.model.is_gradient_checkpointing


def test_the_tiny_autoencoder_takes_the_place_of_the_folders(made, settings):
    teacher = loaded(changed(settings, vae=str(made / "taesdxl")), made)
    assert teacher.autoencoder.factor == 8 and float(teacher.autoencoder.scale) == 1
    images = VIEWS.clone().requires_grad_()
    latents = teacher.encode(images)
    with torch.no_grad():  # it wants 0..1, which diffusers makes of -1..1
        expected = teacher.autoencoder.model.encoder.layers(VIEWS)
    torch.testing.assert_close(latents.detach(), expected, rtol=1e-4, atol=1e-5)
    latents.sum().backward()
    assert images.grad is not None and images.grad.abs().max() > 0


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder_2"])
def test_a_part_with_weights_missing_is_named(made, settings, tmp_path, part):
    # Diffusers and transformers fill up what is missing with random numbers, and say so in a log.
    copy = Path(shutil.copytree(made / "base", tmp_path / "base"))
    (file,) = (copy / part).glob("*.safetensors")
    weights = load_file(file)
    lost = sorted(weights)[0]
    del weights[lost]
    save_file(weights, file, {"format": "pt"})
    broken = changed(settings, folder=str(copy), vae=None)
    with pytest.raises(ValueError, match=rf"{copy}/{part} do not fit.*1 missing \({lost}\)"):
        load_teacher(broken, tmp_path / "prompts").read("another prompt", None)


def test_a_partial_lightning_unet_is_named_with_what_is_missing_and_too_much(made, settings, tmp_path):
    weights = load_file(made / UNET)
    first, second = sorted(weights)[:2]
    weights["model.ema"] = weights.pop(first)
    weights[second] = torch.zeros(3)
    save_file(weights, tmp_path / UNET)
    broken = changed(settings, unet=str(tmp_path / UNET), timesteps=(249,), guidance_scale=1.0)
    found = rf"1 missing \({first}\); 1 unexpected \(model.ema\); 1 of another shape \({second} \(3,\)"
    with pytest.raises(ValueError, match=found):
        loaded(broken, made)


def test_a_folder_that_is_there_is_not_written_over(made):
    with pytest.raises(FileExistsError, match="remove it"):
        write_folder(made, SMALL, "cpu")
