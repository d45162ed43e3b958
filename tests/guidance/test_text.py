"""Prompts are encoded as diffusers' pipeline encodes them, once, and kept."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from tests.helpers.teachers import PROMPT, teacher_settings
from tests.helpers.tiny_pipeline import save_tiny_pipeline
from voxsds.guidance.load import load_teacher
from voxsds.guidance.sdxl import teacher as sdxl
from voxsds.guidance.sdxl import text
from voxsds.guidance.sdxl.folder import PipelineFolder
from voxsds.guidance.sdxl.text import Conditioning

pytest_plugins = ["tests.helpers.pipelines"]
pytestmark = pytest.mark.usefixtures("one_thread")


def told(
    folder: Path, cache: Path, prompt: str = PROMPT, against: str | None = None, **changes
) -> Conditioning:
    """What a teacher that is loaded anew tells its UNet of the prompt."""
    return load_teacher(teacher_settings(folder, **changes), cache).read(prompt, against).encoded


@pytest.mark.parametrize("negative", [None, "", "fog"])
@pytest.mark.parametrize("zeros", [False, True])
def test_prompt_embeddings_are_those_of_the_pipeline(tmp_path, negative, zeros):
    made = save_tiny_pipeline(tmp_path / "model", zeros_for_empty_prompt=zeros)
    pipe = StableDiffusionXLPipeline.from_pretrained(made, local_files_only=True)
    with torch.no_grad():
        context, no_context, pooled, no_pooled = pipe.encode_prompt(PROMPT, negative_prompt=negative)
    ours = told(made, tmp_path, against=negative)
    assert torch.equal(ours.context, torch.cat([no_context, context]))
    assert torch.equal(ours.pooled, torch.cat([no_pooled, pooled]))
    assert (ours.context[0] == 0).all() == (zeros and negative is None)


def test_time_ids_are_the_native_size_whatever_is_rendered(folder, cache, pipeline):
    ours = told(folder, cache, resolution=16).time_ids
    theirs = pipeline._get_add_time_ids(
        (32, 32), (0, 0), (32, 32), torch.float32, pipeline.text_encoder_2.config.projection_dim
    )
    assert pipeline.default_sample_size * pipeline.vae_scale_factor == 32
    assert torch.equal(ours, torch.cat([theirs, theirs]))


def test_prompts_are_encoded_once(folder, tmp_path, monkeypatch):
    first = told(folder, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # the prompt and the empty text
    monkeypatch.setattr(text.CLIPTextModel, "from_pretrained", lambda *_, **__: pytest.fail("encoder loaded"))
    again = told(folder, tmp_path)
    assert torch.equal(again.context, first.context) and torch.equal(again.pooled, first.pooled)


def test_texts_named_ahead_are_encoded_before_the_unet_is_read(folder, tmp_path, monkeypatch):
    def read_unet(*_):
        assert len(list(tmp_path.iterdir())) == 3  # two prompts and the empty text
        raise ValueError("the UNet is read")

    monkeypatch.setattr(sdxl, "load_unet", read_unet)
    with pytest.raises(ValueError, match="the UNet is read"):
        load_teacher(teacher_settings(folder), tmp_path, texts=[PROMPT, "foggy"])


def test_every_prompt_and_every_model_has_its_own_cache_entry(folder, tmp_path):
    teacher = load_teacher(teacher_settings(folder), tmp_path)
    first, other = (teacher.read(prompt, None).encoded for prompt in (PROMPT, "a sandy island"))
    assert len(list(tmp_path.iterdir())) == 3
    assert not torch.equal(other.context[1], first.context[1])
    assert torch.equal(other.context, told(folder, tmp_path / "elsewhere", "a sandy island").context)
    retrained = save_tiny_pipeline(tmp_path / "model", seed=1)
    assert not torch.equal(told(retrained, tmp_path).context, first.context)


def test_one_prompt_is_asked_against_several_texts(teacher):
    plain, led_away = (teacher.read(PROMPT, against) for against in (None, "foggy"))
    assert (led_away.text, led_away.against) == (PROMPT, "foggy")
    assert torch.equal(plain.encoded.context[1], led_away.encoded.context[1])
    assert not torch.equal(plain.encoded.context[0], led_away.encoded.context[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\xff" * len(content),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["half", "empty", "overwritten", "one bit"],
)
def test_a_damaged_cache_entry_is_written_again(folder, tmp_path, damage):
    first = told(folder, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file, content in before.items():
        file.write_bytes(damage(content))
    assert torch.equal(told(folder, tmp_path).context, first.context)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_embedding_does_not_depend_on_what_is_encoded_with_it(folder):
    opened = PipelineFolder.open(str(folder), None, True, True, True)
    alone = text.encode_prompts(opened, [PROMPT], "cpu")[0]
    among = text.encode_prompts(opened, ["", "a sandy island", PROMPT], "cpu")[2]
    assert torch.equal(alone.context, among.context) and torch.equal(alone.pooled, among.pooled)


def test_tokenizers_in_two_files_as_sdxl_has_them_read_the_same(copy, question, cache):
    for part in ("tokenizer", "tokenizer_2"):
        model = json.loads((copy / part / "tokenizer.json").read_text())["model"]
        (copy / part / "vocab.json").write_text(json.dumps(model["vocab"]))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
        (copy / part / "merges.txt").write_text("\n".join(lines) + "\n")
        (copy / part / "tokenizer.json").unlink()
    assert torch.equal(told(copy, cache).context, question.encoded.context)
    (copy / "tokenizer_2" / "merges.txt").unlink()
    with pytest.raises(ValueError, match="missing: tokenizer_2/merges.txt"):
        told(copy, cache)


def test_words_that_do_not_fit_are_warned_of(folder, tmp_path):
    with pytest.warns(UserWarning, match="reads the first 16"):
        told(folder, tmp_path, "tower " * 20)
