"""SDXL's latents: what its autoencoder makes of images, scaled as its UNet was trained on them."""

from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.utils import logging
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxsds.files import read_json
from voxsds.guidance.source import PipelineFolder, frozen, locate, reading
from voxsds.guidance.teacher import TeacherSettings

logging.disable_progress_bar()  # of shards that take milliseconds


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """Images 0..1 to latents (mean - shift) scale, and back."""

    model: AutoencoderKL
    resolution: int  # pixels; images of other sizes are resized
    shift: Float[Tensor, "#channels 1 1"]
    scale: Float[Tensor, "#channels 1 1"]

    @classmethod
    def load(cls, folder: PipelineFolder, settings: TeacherSettings, device: str) -> "Autoencoder":
        """The folder's autoencoder, or the one of `settings.vae`."""
        path, variant = folder.path / "vae", folder.variant
        if settings.vae is not None:
            patterns = ["config.json", "diffusion_pytorch_model.safetensors"]
            path, variant = locate(settings.vae, patterns, settings.local_files_only), None
        config = read_json(path / "config.json")
        if config["_class_name"] != "AutoencoderKL":
            raise ValueError(f"{path} holds a {config['_class_name']}; an AutoencoderKL is needed")
        dtype = getattr(torch, settings.vae_dtype)
        model = frozen(AutoencoderKL.from_pretrained(path, variant=variant, **reading(dtype)), device)
        shift, scale = (value.to(device) for value in latent_scale(dict(model.config)))
        autoencoder = cls(model, settings.resolution, shift, scale)
        if settings.resolution % autoencoder.factor:
            raise ValueError(
                f"resolution {settings.resolution} is not a multiple of {autoencoder.factor}, the pixels "
                f"that one latent of {path} covers"
            )
        return autoencoder

    @property
    def factor(self) -> int:
        """Pixels along the side of one latent."""
        return 2 ** (len(self.model.config["block_out_channels"]) - 1)

    def encode(
        self, images: Float[Tensor, "views 3 height width"]
    ) -> Float[Tensor, "views channels rows columns"]:
        """(mean of the posterior - shift) scale, in float32. The mean, not a sample: less noise."""
        pixels = self._as_taken(resized(images, self.resolution) * 2 - 1)
        mean = self.model.encode(pixels, return_dict=False)[0].mean
        return (mean.float() - self.shift) * self.scale

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "views channels rows columns"]
    ) -> Float[Tensor, "views 3 height width"]:
        pixels: Tensor = self.model.decode(self._as_taken(latents / self.scale + self.shift), False)[0]  # pyright: ignore[reportArgumentType]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def _as_taken(self, tensor: Tensor) -> Tensor:
        return tensor.to(dtype=self.model.dtype, memory_format=torch.channels_last)


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
