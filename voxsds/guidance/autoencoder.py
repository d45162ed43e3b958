"""Latents: what an autoencoder makes of images, scaled as the denoiser was trained on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.utils import logging
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxsds.files.disk import read_json
from voxsds.guidance.fast.fused import fuse
from voxsds.guidance.fast.graphs import ReplayedWithGradient
from voxsds.guidance.weights import frozen, load_model

logging.disable_progress_bar()  # of shards that take milliseconds

KINDS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """Images 0..1 to latents (mean - shift) scale, and back.

    AutoencoderTiny, distilled from SDXL's (TAESDXL), takes a twentieth of its arithmetic and makes
    scaled latents that are nearly the same.
    """

    model: AutoencoderKL | AutoencoderTiny
    resolution: int  # pixels; images of other sizes are resized
    shift: Float[Tensor, "#channels 1 1"]
    scale: Float[Tensor, "#channels 1 1"]
    mean: Callable[[Tensor], Tensor]  # of the posterior, unscaled, of images -1..1 in the model's type

    @classmethod
    def load(
        cls,
        path: Path,  # a folder of the autoencoder alone, in diffusers' layout
        variant: str | None,  # of the weight files' name
        dtype: torch.dtype,
        resolution: int,
        low_memory: bool,  # see `posterior_mean`
        device: str,
    ) -> "Autoencoder":
        """The autoencoder in `path`; ValueError where its kind or the resolution does not fit."""
        config = read_json(path / "config.json")
        if (kind := KINDS.get(config["_class_name"])) is None:
            raise ValueError(f"{path} holds a {config['_class_name']}; one of {', '.join(KINDS)} is needed")
        model = frozen(load_model(kind, path, variant, dtype), device)
        shift, scale = (value.to(device) for value in latent_scale(dict(model.config)))
        autoencoder = cls(model, resolution, shift, scale, posterior_mean(model, low_memory))
        if resolution % autoencoder.factor:
            raise ValueError(
                f"resolution {resolution} is not a multiple of {autoencoder.factor}, the pixels "
                f"that one latent of {path} covers"
            )
        return autoencoder

    @property
    def factor(self) -> int:
        """Pixels along the side of one latent."""
        config = self.model.config
        return 2 ** (len(config.get("encoder_block_out_channels", config["block_out_channels"])) - 1)

    def encode(
        self, images: Float[Tensor, "views 3 height width"]
    ) -> Float[Tensor, "views channels rows columns"]:
        """(mean of the posterior - shift) scale, in float32. The mean, not a sample: less noise."""
        pixels = self._as_taken(resized(images, self.resolution) * 2 - 1)
        return (self.mean(pixels).float() - self.shift) * self.scale

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "views channels rows columns"]
    ) -> Float[Tensor, "views 3 height width"]:
        pixels: Tensor = self.model.decode(self._as_taken(latents / self.scale + self.shift), False)[0]  # pyright: ignore[reportArgumentType]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def _as_taken(self, tensor: Tensor) -> Tensor:
        return tensor.to(dtype=self.model.dtype, memory_format=torch.channels_last)


def posterior_mean(model: AutoencoderKL | AutoencoderTiny, low_memory: bool) -> Callable[[Tensor], Tensor]:
    """The encoder as a function of images, as fast as the device allows, or with as little memory.

    With `low_memory` an image at a time, and blocks are computed again in the backward.
    """

    def mean(pixels: Tensor) -> Tensor:
        made = model.encode(pixels, return_dict=False)[0]
        return made if isinstance(made, Tensor) else made.mean

    if model.device.type == "cuda":
        # Which algorithm is fastest is tried out, and may differ from run to run where it may.
        torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        fuse(model)
    if low_memory:
        if isinstance(model, AutoencoderKL):  # diffusers' tiny one forgets to scale its input then
            model.enable_gradient_checkpointing()
        return an_image_at_a_time(mean)
    return ReplayedWithGradient(mean, an_image_at_a_time(mean)) if model.device.type == "cuda" else mean


def an_image_at_a_time(mean: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`mean` of each image apart: its largest tensors are for one only, and one fills a large GPU."""
    return lambda pixels: torch.cat([mean(image) for image in pixels.split(1)])


def latent_scale(config: dict) -> tuple[Float[Tensor, "#channels 1 1"], Float[Tensor, "#channels 1 1"]]:
    """(shift, scale) from the model's own config; never a constant, they differ between models.

    SDXL's scaling_factor is 0.13025, while diffusers' class default is another model's 0.18215.
    """
    scaling = config["scaling_factor"]
    if config.get("latents_mean") and config.get("latents_std"):
        mean, std = (torch.tensor(config[key])[:, None, None] for key in ("latents_mean", "latents_std"))
        return mean, scaling / std
    shift = float(config.get("shift_factor") or 0.0)
    return torch.full((1, 1, 1), shift), torch.full((1, 1, 1), scaling)


def resized(images: Float[Tensor, "views 3 height width"], side: int) -> Float[Tensor, "views 3 side side"]:
    """Bilinear, antialiased where it shrinks; the images themselves where the size is right."""
    if images.shape[-2:] == (side, side):
        return images
    shrinks = max(images.shape[-2:]) > side
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=shrinks)
