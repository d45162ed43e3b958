"""A toy family of teachers: a rectified flow whose images are of one colour, the one that the text names.

All that a family has to bring, in as few lines as it takes; docs/extending.md goes through them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.hub import Source
from voxsds.guidance.noise import NoiseTable, even_times
from voxsds.guidance.teacher import Needs, Prediction, Question
from voxsds.render.rays import RayBundle

SPREAD = 0.1  # of a pixel around the colour, in -1..1


@dataclass(frozen=True)
class ColourModel:
    """Section `model` of a teacher of kind colour."""

    kind: Literal["colour"]
    file: str  # a line a colour: its name, red, green, blue


class ColourTeacher:
    """Latents are pixels in -1..1, four by four of an image to one."""

    latent_range = None

    def __init__(self, colours: dict[str, list[float]], resolution: int):
        self.resolution = resolution
        self.noise = NoiseTable.flow(even_times(1000))
        self.vocabulary = frozenset(colours)
        self.colours = colours

    def read(self, text: str, against: str | None) -> Question:
        return Question(text, against, (self._colour(against), self._colour(text)))

    def encode(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 rows columns"]:
        return F.avg_pool2d(images, 4) * 2 - 1

    def decode(self, latents: Float[Tensor, "views 3 rows columns"]) -> Float[Tensor, "views 3 height width"]:
        return F.interpolate(latents.detach() / 2 + 0.5, scale_factor=4).clamp(0, 1)

    def predict(
        self,
        question: Question,
        noisy: Float[Tensor, "views 3 rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Prediction:
        against, towards = (self._noise(colour, noisy, timesteps) for colour in question.encoded)
        return Prediction(against, towards)

    def predict_towards(
        self,
        question: Question,
        noisy: Float[Tensor, "views 3 rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Float[Tensor, "views 3 rows columns"]:
        return self._noise(question.encoded[1], noisy, timesteps)

    def _colour(self, text: str | None) -> Float[Tensor, "3 1 1"]:
        """Mean of the colours that the text names, in -1..1; of all where it names none."""
        named = [self.colours[word] for word in (text or "").split() if word in self.colours]
        return torch.tensor(named or list(self.colours.values())).mean(dim=0)[:, None, None] * 2 - 1

    def _noise(self, colour: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """eps = z_t + (1 - t) v: a flow's network answers in velocities, a teacher in noise."""
        level = self.noise.at(timesteps, noisy)
        signal, t = level.amplitudes()
        return noisy + signal * velocity(colour, noisy, t)


def velocity(colour: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """v = eps - z as a perfectly trained network would predict it, for z from N(colour, SPREAD^2)."""
    variance = ((1 - t) * SPREAD) ** 2
    clean = (t**2 * colour + (1 - t) * SPREAD**2 * noisy) / (t**2 + variance)
    return (noisy - clean) / t


def load(
    model: ColourModel, ask: AskSettings, cache: Path, device: str, texts: Sequence[str]
) -> ColourTeacher:
    return ColourTeacher(colours_of(model), ask.resolution)


def needs(model: ColourModel, ask_hub: bool) -> Needs:
    problem = None if Path(model.file).is_file() else f"{model.file}: there is no such file; name one"
    return Needs((Source("file", model.file, problem, None),), weights=0, pixel=0, loading=0)


def inputs(model: ColourModel) -> list[Path]:
    return [Path(model.file)]


def vocabulary(model: ColourModel) -> frozenset[str] | None:
    return frozenset(colours_of(model))


def colours_of(model: ColourModel) -> dict[str, list[float]]:
    """By name: red, green and blue, 0..1."""
    rows = [line.split() for line in Path(model.file).read_text().splitlines()]
    return {name: [float(part) for part in parts] for name, *parts in rows}
