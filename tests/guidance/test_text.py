"""Prompts are encoded as diffusers' pipeline encodes them, once, and kept."""

import json

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from tests.helpers.teachers import PROMPT, teacher_settings
from tests.helpers.tiny_pipeline import save_tiny_pipeline
from voxsds.guidance.sdxl import text
from voxsds.guidance.sdxl.folder import PipelineFolder
from voxsds.guidance.sdxl.teacher import SdxlTeacher

pytest_plugins = ["tests.helpers.pipelines"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("negative", [None, "", "fog"])
@pytest.mark.parametrize("zeros", [False, True])
def test_prompt_embeddings_are_those_of_the_pipeline(tmp_path, negative, zeros):
    made = save_tiny_pipeline(tmp_path / "model", zeros_for_empty_prompt=zeros)
    pipe = StableDiffusionXLPipeline.from_pretrained(made, local_files_only=True)
    with torch.no_grad():
        context, no_context, pooled, no_pooled = pipe.encode_prompt(PROMPT, negative_prompt=negative)
    ours = SdxlTeacher.load(teacher_settings(made, negative_prompt=negative), PROMPT, tmp_path).conditioning
    assert torch.equal(ours.context, torch.cat([no_context, context]))
    assert torch.equal(ours.pooled, torch.cat([no_pooled, pooled]))
    assert (ours.context[0] == 0).all() == (zeros and negative is None)


def test_time_ids_are_the_native_size_whatever_is_rendered(folder, cache, pipeline):
    ours = SdxlTeacher.load(teacher_settings(folder, resolution=16), PROMPT, cache).conditioning.time_ids
    theirs = pipeline._get_add_time_ids(
        (32, 32), (0, 0), (32, 32), torch.float32, pipeline.text_encoder_2.config.projection_dim
    )
    assert pipeline.default_sample_size * pipeline.vae_scale_factor == 32
    assert torch.equal(ours, torch.cat([theirs, theirs]))


def test_prompts_are_encoded_once(folder, tmp_path, monkeypatch):
    first = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # the prompt and the empty text
    monkeypatch.setattr(text.CLIPTextModel, "from_pretrained", lambda *_, **__: pytest.fail("encoder loaded"))
    again = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path)
    assert torch.equal(again.conditioning.context, first.conditioning.context)
    assert torch.equal(again.conditioning.pooled, first.conditioning.pooled)


def test_every_prompt_and_every_model_has_its_own_cache_entry(folder, tmp_path):
    first = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path)
    other = first.with_prompt("a sandy island")
    assert len(list(tmp_path.iterdir())) == 3
    assert not torch.equal(other.conditioning.context[1], first.conditioning.context[1])
    fresh = SdxlTeacher.load(teacher_settings(folder), "a sandy island", tmp_path / "elsewhere")
    assert torch.equal(other.conditioning.context, fresh.conditioning.context)
    retrained = save_tiny_pipeline(tmp_path / "model", seed=1)
    its_own = SdxlTeacher.load(teacher_settings(retrained), PROMPT, tmp_path)
    assert not torch.equal(its_own.conditioning.context, first.conditioning.context)


def test_against_nothing_the_prompt_stays_and_the_negative_one_goes(folder, tmp_path):
    settings = teacher_settings(folder, negative_prompt="foggy")
    led_away = SdxlTeacher.load(settings, PROMPT, tmp_path)
    plain = led_away.against_nothing().conditioning
    wanted = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path).conditioning
    assert torch.equal(plain.context, wanted.context) and torch.equal(plain.pooled, wanted.pooled)
    assert not torch.equal(plain.context[0], led_away.conditioning.context[0])


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
    first = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file, content in before.items():
        file.write_bytes(damage(content))
    again = SdxlTeacher.load(teacher_settings(folder), PROMPT, tmp_path)
    assert torch.equal(again.conditioning.context, first.conditioning.context)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_embedding_does_not_depend_on_what_is_encoded_with_it(folder):
    opened = PipelineFolder.open(str(folder), None, True, True, True)
    alone = text.encode_prompts(opened, [PROMPT], "cpu")[0]
    among = text.encode_prompts(opened, ["", "a sandy island", PROMPT], "cpu")[2]
    assert torch.equal(alone.context, among.context) and torch.equal(alone.pooled, among.pooled)


def test_tokenizers_in_two_files_as_sdxl_has_them_read_the_same(copy, teacher, cache):
    for part in ("tokenizer", "tokenizer_2"):
        model = json.loads((copy / part / "tokenizer.json").read_text())["model"]
        (copy / part / "vocab.json").write_text(json.dumps(model["vocab"]))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
        (copy / part / "merges.txt").write_text("\n".join(lines) + "\n")
        (copy / part / "tokenizer.json").unlink()
    ours = SdxlTeacher.load(teacher_settings(copy), PROMPT, cache).conditioning
    assert torch.equal(ours.context, teacher.conditioning.context)
    (copy / "tokenizer_2" / "merges.txt").unlink()
    with pytest.raises(ValueError, match="missing: tokenizer_2/merges.txt"):
        SdxlTeacher.load(teacher_settings(copy), PROMPT, cache)


def test_words_that_do_not_fit_are_warned_of(folder, tmp_path):
    with pytest.warns(UserWarning, match="reads the first 16"):
        SdxlTeacher.load(teacher_settings(folder), "tower " * 20, tmp_path)
