"""Reading what render_dataset wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from transformers import CLIPTokenizer

from voxsds.files.disk import read_json


@dataclass(frozen=True, eq=False)
class CaptionedRenders:
    images: UInt8[Tensor, "images 3 size size"]
    towards: Float[Tensor, "images 3"]  # to the cameras: east, up, south
    soft: UInt8[Tensor, "soft 3 size size"]
    captions: list[list[str]]  # wordings of each world
    canonical: list[str]  # one fixed wording of each world
    attributes: list[dict]
    is_test: Bool[Tensor, " worlds"]
    views: int  # consecutive images of one world

    def images_of(self, worlds: Int[Tensor, " chosen"]) -> Int[Tensor, " images"]:
        """Indices of all images of the chosen worlds."""
        return (worlds[:, None] * self.views + torch.arange(self.views)).flatten()

    @property
    def train_images(self) -> Int[Tensor, " images"]:
        return self.images_of(torch.nonzero(~self.is_test).flatten())

    @property
    def test_images(self) -> Int[Tensor, " images"]:
        return self.images_of(torch.nonzero(self.is_test).flatten())


def load_renders(folder: Path) -> CaptionedRenders:
    facts = read_json(folder / "captions.json")
    worlds = facts["worlds"]
    return CaptionedRenders(
        images=torch.from_numpy(np.load(folder / "images.npy")),
        towards=torch.from_numpy(np.load(folder / "towards.npy")),
        soft=torch.from_numpy(np.load(folder / "soft.npy")),
        captions=[world["captions"] for world in worlds],
        canonical=[world["canonical"] for world in worlds],
        attributes=[world["attributes"] for world in worlds],
        is_test=torch.tensor([world["test"] for world in worlds]),
        views=facts["views"],
    )


def to_unit(images: UInt8[Tensor, "*shape"]) -> Tensor:
    """Bytes to -1..1, the range of a diffusers VAE."""
    return images.float() / 127.5 - 1


def token_table(tokenizer: CLIPTokenizer, captions: list[list[str]]) -> Int[Tensor, "worlds wordings tokens"]:
    """Token ids of every wording of every world, padded to the tokenizer's length."""
    flat = [wording for wordings in captions for wording in wordings]
    ids = tokenizer(flat, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids.view(len(captions), -1, ids.shape[-1])
