"""The image-text scorer: its inputs are what transformers makes of them, its ranks are honest."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from tests.helpers.tiny_evaluator import processor, save_tiny_evaluator
from voxsds.validate.evaluator import (
    Evaluator,
    content_words,
    distractor_captions,
    read_preprocessing,
    retrieved,
)

PROMPT = "a stone tower on snowy hills"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_evaluator(tmp_path_factory.mktemp("evaluator"))


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture with an edge in it, as bytes."""
    y, x = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width]
    rgb = np.stack([x, y, (x > 0.5) * 0.8 + 0.1], axis=-1)
    return (255 * rgb).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (48, 64), (90, 40), (16, 20)])
def test_pixels_are_those_of_the_image_processor_of_transformers(folder, size):
    """Pillow rounds to bytes after resizing: half a byte is 0.5 / 255 / 0.26 = 0.0075; seen 0.008."""
    image = picture(*size)
    expected = processor(32)(Image.fromarray(image), return_tensors="pt")["pixel_values"]
    ours = read_preprocessing(folder / "preprocessor_config.json")(
        torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    )
    assert (ours - expected).abs().max() < 0.016


def test_what_the_config_leaves_out_is_not_done(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"do_resize": False, "do_center_crop": False, "do_normalize": False}))
    images = torch.rand(2, 3, 5, 7)
    assert torch.equal(read_preprocessing(path)(images), images)


def test_an_unknown_filter_is_named(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"resample": 5, "size": 32, "image_mean": [0] * 3, "image_std": [1] * 3}))
    with pytest.raises(ValueError, match="resample is 5; known are"):
        read_preprocessing(path)


def test_scores_are_the_cosines_that_the_whole_model_gives(folder):
    images, texts = torch.rand(3, 3, 32, 32), [PROMPT, "a wooden house"]
    ours = Evaluator.load(folder).scores(images, texts)
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = CLIPTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    pixels = read_preprocessing(folder / "preprocessor_config.json")(images)
    with torch.no_grad():
        logits = model(pixel_values=pixels, **tokens).logits_per_image
    torch.testing.assert_close(ours, logits / model.logit_scale.exp().detach(), atol=1e-5, rtol=1e-5)


def test_a_score_does_not_depend_on_the_company(folder):
    """Neither padding to the longest text nor the other images of the batch may move a score."""
    evaluator, images = Evaluator.load(folder), torch.rand(3, 3, 32, 32)
    together = evaluator.scores(images, ["a hut", "a very long text about a stone tower on snowy hills"])
    alone = evaluator.scores(images[1:2], ["a hut"])
    torch.testing.assert_close(together[1:2, :1], alone, atol=1e-5, rtol=1e-5)


def test_a_text_longer_than_the_encoder_takes_is_cut_not_refused(folder):
    scores = Evaluator.load(folder).scores(torch.rand(1, 3, 32, 32), ["stone " * 100])
    assert torch.isfinite(scores).all()


def test_r_precision_is_one_for_the_best_text_and_zero_for_the_worst(folder):
    evaluator, images = Evaluator.load(folder), torch.rand(1, 3, 32, 32)
    texts = ["a stone tower", "a lake", "a snowy mountain", "a bridge"]
    order = evaluator.scores(images, texts)[0].argsort(descending=True).tolist()
    ranked = [texts[i] for i in order]
    assert evaluator.r_precision(images, ranked[0], ranked[1:]) == 1.0
    assert evaluator.r_precision(images, ranked[-1], ranked[:-1]) == 0.0


def test_retrieved_needs_the_true_text_strictly_first():
    scores = torch.tensor([[0.5, 0.4, 0.1], [0.5, 0.5, 0.1], [0.2, 0.1, 0.3]])
    assert retrieved(scores).tolist() == [True, False, False]


def test_a_folder_without_a_model_is_refused_with_the_missing_files(tmp_path):
    with pytest.raises(
        ValueError, match="lacks config.json, preprocessor_config.json, tokenizer_config.json"
    ):
        Evaluator.load(tmp_path)


def test_distractors_are_different_from_each_other_and_from_the_prompt():
    captions = distractor_captions(PROMPT, 99, seed=5)
    assert len(set(captions)) == 99
    asked = content_words(PROMPT)
    assert all(not asked <= content_words(caption) for caption in captions)
    assert captions == distractor_captions(PROMPT, 99, seed=5)
    assert captions != distractor_captions(PROMPT, 99, seed=6)


def test_distractors_leave_out_what_says_the_same_in_another_order():
    everything = distractor_captions("something that no caption says", 400, seed=0)
    said = [caption for caption in everything if {"stone", "tower"} <= content_words(caption)]
    assert said, "the grammar has stone towers"
    assert not set(said) & set(distractor_captions("the tower of stones", 400, seed=0))


def test_distractors_leave_out_what_says_the_same_in_other_words():
    everything = distractor_captions("something that no caption says", 400, seed=0)
    assert "a grassy hill" in everything
    assert "a grassy hill" not in distractor_captions("a green hill", 400, seed=0)


def test_content_words_drop_articles_and_plurals():
    assert content_words("A stone tower, on snowy hills") == {"stone", "tower", "snowy", "hill"}
