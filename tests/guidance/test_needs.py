"""What is said of teachers that are here, damaged, or still on the Hub."""

from types import SimpleNamespace

import huggingface_hub
import pytest
from diffusers import StableDiffusionXLPipeline

from tests.helpers.teachers import teacher_settings
from voxsds.guidance import hub as hub_module
from voxsds.guidance.load import TeacherSettings, family
from voxsds.guidance.teacher import Needs

pytest_plugins = ["tests.helpers.pipelines"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def needs_of(settings: TeacherSettings, ask_hub: bool = False) -> Needs:
    return family(settings.model).needs(settings.model, ask_hub)


def numbers(*models) -> int:
    return sum(parameter.numel() for model in models for parameter in model.parameters())


def test_memory_is_counted_from_headers_as_the_networks_count_it(
    folder, pipeline: StableDiffusionXLPipeline
) -> None:
    found = needs_of(teacher_settings(folder, dtype="float16"))
    assert found.ready
    assert found.weights == 2 * numbers(pipeline.unet) + 4 * numbers(pipeline.vae)
    texts = numbers(pipeline.text_encoder, pipeline.text_encoder_2)
    # Files hold each number once; models may count tables of positions that are not stored.
    assert found.loading == pytest.approx(4 * (texts + numbers(pipeline.vae)), rel=0.01)


def test_a_damaged_folder_is_said_with_what_is_missing(copy) -> None:
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (source,) = needs_of(teacher_settings(copy)).sources
    assert source.problem and "missing: unet/diffusion_pytorch_model.safetensors" in source.problem


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty cache, and a Hub that knows two files worth downloading."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    names = {"unet/diffusion_pytorch_model.safetensors": 700, "vae/config.json": 30, "unet/code.py": 5,
             "unet/diffusion_pytorch_model.fp16.safetensors": 350, "lightning.safetensors": 11}  # fmt: skip
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in names.items()]

    def model_info(self, repo, revision, files_metadata, timeout):
        assert (repo, revision, files_metadata) == ("owner/name", COMMIT, True)
        return SimpleNamespace(siblings=siblings)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)


def test_the_size_of_a_download_is_that_of_the_files_that_are_read(hub) -> None:
    (source,) = needs_of(
        teacher_settings(f"owner/name@{COMMIT}", local_files_only=False), ask_hub=True
    ).sources
    assert source.download == 730
    assert source.problem and source.problem.endswith("the first run downloads it")
    settings = teacher_settings(f"owner/name@{COMMIT}", unet=f"owner/name/lightning.safetensors@{COMMIT}")
    model, unet = needs_of(settings, ask_hub=True).sources
    assert (model.download, unet.download) == (30, 11)
    assert model.problem and "set local_files_only: false" in model.problem


def test_the_hub_is_not_asked_unless_told_to(hub, monkeypatch) -> None:
    monkeypatch.setattr(hub_module, "download_size", lambda *_: pytest.fail("asked"))
    (source,) = needs_of(teacher_settings(f"owner/name@{COMMIT}")).sources
    assert source.problem and source.download is None


def test_without_a_network_the_rest_is_said_all_the_same(hub, monkeypatch) -> None:
    def no_network(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", no_network)
    found = needs_of(teacher_settings(f"owner/name@{COMMIT}"), ask_hub=True)
    assert not found.ready and found.weights is None
    assert found.sources[0].problem and "could not be asked for its size (Name or" in found.sources[0].problem


def test_inputs_are_what_lies_on_this_machine(folder, tmp_path) -> None:
    lora = tmp_path / "lora.safetensors"
    lora.touch()
    settings = teacher_settings(folder, lora=str(lora), vae=f"owner/name@{COMMIT}")
    assert family(settings.model).inputs(settings.model) == [folder, lora]
