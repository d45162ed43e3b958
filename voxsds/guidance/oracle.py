"""A teacher without weights: the ideal denoiser of views of worlds that are known.

Its images are a mixture of Gaussians N(x_k, spread^2) around the views x_k of its worlds from the
same rays, whose posterior mean has a closed form. It makes the whole chain testable: an optimiser
that cannot follow a perfect teacher will not follow a real one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.hub import Source
from voxsds.guidance.noise import Level, NoiseTable, noise_between, scaled_linear_alpha_bars
from voxsds.guidance.teacher import Needs, Prediction, Question
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle
from voxsds.render.renderer import render
from voxsds.world.field import Field, solid_field
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette

NOTHING = ""  # the text that means no text in particular


@dataclass(frozen=True)
class OracleModel:
    """Section `model` of a teacher of kind oracle in params.yaml."""

    kind: Literal["oracle"]
    map: str  # the map.json of the world to arrive at, of the size of the one that is optimised
    palette: str  # of that map, the same as the optimised one's


def posterior_mean(
    noisy: Float[Tensor, "channels height width"],  # a x + s eps
    centres: Float[Tensor, "worlds channels height width"],
    level: Level,  # of that view
    spread: float,
) -> Float[Tensor, "channels height width"]:
    """E[x | a x + s eps = noisy] for x from the equal mixture of N(centre_k, spread^2).

    With v = s^2 + a^2 spread^2: the responsibilities are softmax_k(-|noisy - a centre_k|^2 / 2v) and
    component k's mean (s^2 centre_k + a spread^2 noisy) / v (Bishop, PRML, 2.3.3 and 9.2). Two
    centres -1 and 1 seen as noisy = 0 give 0.
    """
    a, variance = level.signal.sqrt(), level.noise
    v = variance + level.signal * spread**2
    distance = (noisy - a * centres).square().flatten(1).sum(1)
    share = torch.softmax(-distance / (2 * v), dim=0)
    nearest = torch.tensordot(share, centres, dims=1)
    return (variance * nearest + a * spread**2 * noisy) / v


class Banks(NamedTuple):
    """Places of the worlds that the two texts of a question may mean."""

    against: slice
    towards: slice


class OracleTeacher:
    """Noise predictions of the ideal denoiser; latents are pixels in -1..1.

    `worlds` are those that a text may mean, block ids on the grid that the rays are in. The empty text
    stands for none, and for any that is not among them.
    """

    vocabulary = None

    def __init__(
        self,
        worlds: Mapping[str, Sequence[Integer[np.ndarray, "X Y Z"]]],
        lit: Float[Tensor, "solids 6 3"],
        resolution: int,
        spread: float = 0.15,  # of a pixel around its view's, in -1..1
        noise: NoiseTable | None = None,  # None: that of SDXL
    ):
        if not worlds.get(NOTHING) or not all(worlds.values()):
            raise ValueError("an oracle needs at least one world for every text, and for the empty one")
        self.resolution = resolution
        self.noise = (noise or NoiseTable.ddpm(scaled_linear_alpha_bars())).to(lit.device)
        self.latent_range = torch.tensor([[-1.0, 1.0]] * 3, device=lit.device)
        self._banks: dict[str, slice] = {}
        self._worlds: list[Field] = []
        for text, meant in worlds.items():
            self._banks[text] = slice(len(self._worlds), len(self._worlds) + len(meant))
            for blocks in meant:
                opacity, material = solid_field(blocks, len(lit), lit.dtype)
                self._worlds.append(Field(opacity.to(lit.device), material.to(lit.device)))
        self._lit = lit
        self._spread = spread
        self._seen: tuple[RayBundle, Tensor] | None = None

    def read(self, text: str, against: str | None) -> Question:
        banks = (self._banks.get(name or NOTHING, self._banks[NOTHING]) for name in (against, text))
        return Question(text, against, Banks(*banks))

    def encode(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 height width"]:
        return images * 2 - 1

    def decode(self, latents: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 height width"]:
        return (latents.detach() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict(
        self,
        question: Question,
        noisy: Float[Tensor, "views 3 height width"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Prediction:
        """(z_t - a E[x | z_t]) / s under each of the two banks."""
        views, banks = self._views(rays), question.encoded
        against, towards = (
            self._noise(noisy, timesteps, views[bank]) for bank in (banks.against, banks.towards)
        )
        return Prediction(against, towards)

    @torch.no_grad()
    def predict_towards(
        self,
        question: Question,
        noisy: Float[Tensor, "views 3 height width"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Float[Tensor, "views 3 height width"]:
        return self._noise(noisy, timesteps, self._views(rays)[question.encoded.towards])

    def _noise(self, noisy: Tensor, timesteps: Tensor, bank: Tensor) -> Tensor:
        levels, predictions = self.noise.at(timesteps, noisy), []
        for view, (signal, noise) in enumerate(zip(*levels, strict=True)):
            level = Level(signal, noise)
            clean = posterior_mean(noisy[view], bank[:, view].to(noisy), level, self._spread)
            predictions.append(noise_between(clean, noisy[view], level))
        return torch.stack(predictions)

    def _views(self, rays: RayBundle | None) -> Float[Tensor, "worlds views 3 height width"]:
        """Latents of every world from `rays`; those of the last bundle are kept."""
        if rays is None:
            raise ValueError("an oracle must know the rays of the views: pass rays to predict")
        if self._seen is None or self._seen[0] is not rays:
            self._seen = rays, torch.stack([self._view(world, rays) for world in self._worlds])
        return self._seen[1]

    def _view(self, world: Field, rays: RayBundle) -> Tensor:
        return self.encode(render(world.opacity, world.material, self._lit, rays).rgba[:, :3])


def load(
    model: OracleModel, ask: AskSettings, cache: Path, device: str, texts: Sequence[str]
) -> OracleTeacher:
    """An oracle that knows nothing but the world of the map, whatever the prompt."""
    target = read_map(Path(model.map), read_palette(model.palette))
    lit = lit_faces(target.palette).to(device, torch.float32)
    return OracleTeacher({NOTHING: [target.blocks]}, lit, ask.resolution)


def needs(model: OracleModel, ask_hub: bool) -> Needs:
    """The map of the world to arrive at, and the memory of its field."""
    try:
        target = read_map(Path(model.map), read_palette(model.palette))
    except (ValueError, OSError) as error:
        problem = str(error) if Path(model.map).is_file() else f"{model.map}: there is no such map; name one"
        return Needs((Source("map", model.map, problem, None),), None, None, None)
    field = 4 * target.blocks.size * len(target.palette)  # bytes: opacity and a share of every solid
    return Needs((Source("map", model.map, None, None),), weights=field, pixel=0, loading=0)


def inputs(model: OracleModel) -> list[Path]:
    """The map, and the palette where it is a file of the user's."""
    return [Path(model.map), *filter(Path.is_file, [Path(model.palette)])]


def vocabulary(model: OracleModel) -> frozenset[str] | None:
    """None: a text means whatever its world shows."""
    return None
