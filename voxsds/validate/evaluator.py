"""Does an image show what a text says? A dual encoder that took no part in the optimisation answers.

Any folder in the layout of transformers' CLIPModel will do: the one shipped in models/evaluator, or
OpenAI's CLIP. The score of an image and a text is the cosine of their embeddings; R-precision (Park
et al. 2021, arXiv 2109.14715) is how often the true text scores highest among many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.captions.attributes import sample_attributes
from voxsds.captions.sentences import canonical_caption, canonical_words, words
from voxsds.files.disk import read_json

_FILTERS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as configs hold them
_FUNCTION_WORDS = frozenset(
    "a an the on in by of at to and with near over acros beside between among".split()
)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images into pixel values, as preprocessor_config.json has it."""

    resize: int | tuple[int, int] | None  # shortest side, or (height, width), pixels
    filter: str  # of torch.nn.functional.interpolate
    crop: tuple[int, int] | None  # (height, width) of the middle that is kept
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self,
        images: Float[Tensor, "b 3 height width"],  # 0..1
    ) -> Float[Tensor, "b 3 rows columns"]:
        """Resized with antialiasing as Pillow does, cropped in the middle, normalised."""
        images = self._cropped(self._resized(images))
        mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (self.mean, self.std))
        return (images - mean) / std

    def _resized(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        match self.resize:
            case None:
                return images
            case int(shortest):
                short = min(height, width)
                size = (height * shortest // short, width * shortest // short)
            case size:
                pass
        if size == (height, width):
            return images
        smooth = self.filter != "nearest-exact"
        return F.interpolate(images, size=size, mode=self.filter, antialias=smooth).clamp(0, 1)

    def _cropped(self, images: Tensor) -> Tensor:
        if self.crop is None:
            return images
        (height, width), (rows, columns) = images.shape[-2:], self.crop
        top, left = (height - rows) // 2, (width - columns) // 2
        return images[..., top : top + rows, left : left + columns]


def read_preprocessing(path: Path) -> Preprocessing:
    """The steps in a CLIP preprocessor_config.json; what they leave out is not done."""
    config = read_json(path)
    filter_number = config.get("resample", 3)
    if filter_number not in _FILTERS:
        raise ValueError(
            f"{path}: resample is {filter_number}; known are {sorted(_FILTERS)} (Pillow's filters)"
        )
    normalise = config.get("do_normalize", True)
    return Preprocessing(
        resize=_size(config["size"]) if config.get("do_resize", True) else None,
        filter=_FILTERS[filter_number],
        crop=_square(config["crop_size"]) if config.get("do_center_crop", False) else None,
        mean=tuple(config["image_mean"]) if normalise else (0.0, 0.0, 0.0),
        std=tuple(config["image_std"]) if normalise else (1.0, 1.0, 1.0),
    )


def _size(value: int | dict) -> int | tuple[int, int]:
    if isinstance(value, int):
        return value
    return value["shortest_edge"] if "shortest_edge" in value else (value["height"], value["width"])


def _square(value: int | dict) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value["height"], value["width"])


@dataclass(frozen=True, eq=False)
class Evaluator:
    """The two encoders and what is done to their inputs."""

    model: Any  # transformers' CLIPModel
    tokenizer: Any  # its CLIPTokenizer
    preprocess: Preprocessing

    @classmethod
    def load(cls, folder: Path) -> "Evaluator":
        """Reads a local CLIPModel folder (safetensors only) in single precision.

        Raises ValueError naming the files that are missing.
        """
        needed = ("config.json", "preprocessor_config.json", "tokenizer_config.json")
        if missing := [name for name in needed if not (folder / name).is_file()]:
            raise ValueError(f"{folder} is no CLIPModel folder: it lacks {', '.join(missing)}")
        from transformers import CLIPModel, CLIPTokenizer  # 2 s, for which reading parameters need not wait

        model = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(model.eval(), tokenizer, read_preprocessing(folder / "preprocessor_config.json"))

    @torch.no_grad()
    def image_embeddings(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b dim"]:
        """Unit vectors of images 0..1."""
        pixels = self.preprocess(images.to(torch.float32))
        features: Any = self.model.get_image_features(pixel_values=pixels)
        return F.normalize(features.pooler_output, dim=-1)

    @torch.no_grad()
    def text_embeddings(self, texts: Sequence[str]) -> Float[Tensor, "t dim"]:
        """Unit vectors of texts; what is longer than the encoder's input is cut off."""
        text_config: Any = self.model.config.text_config
        tokens = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=text_config.max_position_embeddings,
            return_tensors="pt",
        )
        features: Any = self.model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
        return F.normalize(features.pooler_output, dim=-1)

    def scores(
        self,
        images: Float[Tensor, "b 3 h w"],  # 0..1
        texts: Sequence[str],
    ) -> Float[Tensor, "b t"]:
        """Cosine, -1..1, of each image with each text."""
        return self.image_embeddings(images) @ self.text_embeddings(texts).T

    def r_precision(self, images: Float[Tensor, "b 3 h w"], prompt: str, distractors: Sequence[str]) -> float:
        """Share of the images for which `prompt` scores higher than every distractor."""
        return retrieved(self.scores(images, [prompt, *distractors])).double().mean().item()


def retrieved(scores: Float[Tensor, "b t"]) -> Bool[Tensor, " b"]:
    """The rows whose first column is the only highest; a tie is not retrieved.

    With one true text and 99 others, chance is 0.01.
    """
    return (scores[:, :1] > scores[:, 1:]).all(dim=1)


def distractor_captions(prompt: str, count: int, seed: int) -> tuple[str, ...]:
    """`count` different captions of generated worlds, none of which says all that `prompt` says.

    The same list for the same arguments. Drawn from the whole grammar, undegraded worlds only.
    """
    rng = np.random.default_rng(seed)
    asked = content_words(prompt)
    captions: dict[str, None] = {}  # a set that keeps its order
    for _ in range(1000 * count):
        if len(captions) == count:
            return tuple(captions)
        text = canonical_caption(sample_attributes(rng, held_out=frozenset(), degraded_share=0.0))
        if not asked <= content_words(text):
            captions[text] = None
    raise ValueError(
        f"the grammar of voxsds.worlds has no {count} captions that differ from '{prompt}'; ask for fewer"
    )


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, without articles, prepositions and plural endings; canonical synonyms.

    "a stone tower on green hills" is {stone, tower, grassy, hill}.
    """
    meant = (canonical_words().get(word, word) for word in words(text))
    return frozenset(word.rstrip("s") for word in meant) - _FUNCTION_WORDS
