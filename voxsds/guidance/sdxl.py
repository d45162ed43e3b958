"""Any model in the diffusers SDXL layout as a teacher.

Only this module and autoencoder.py import diffusers.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from voxsds.cameras import RayBundle
from voxsds.files import read_json
from voxsds.guidance.autoencoder import Autoencoder
from voxsds.guidance.lightning import check_checkpoint
from voxsds.guidance.sds import noise_from_velocity
from voxsds.guidance.source import PipelineFolder, frozen, locate, reading
from voxsds.guidance.teacher import TeacherSettings
from voxsds.guidance.text import Conditioning, encode_conditioning


@dataclass(frozen=True, eq=False)
class SdxlTeacher:
    """UNet, autoencoder and one encoded prompt; see `Teacher` for what the methods promise."""

    settings: TeacherSettings
    folder: PipelineFolder
    cache: Path
    device: str
    unet: UNet2DConditionModel
    autoencoder: Autoencoder
    alphas_cumprod: Float[Tensor, " steps"]
    predicts_velocity: bool
    latent_range: Float[Tensor, "channels 2"] | None
    vocabulary: frozenset[str] | None
    conditioning: Conditioning

    @classmethod
    def load(cls, settings: TeacherSettings, prompt: str, cache: Path, device: str = "cpu") -> "SdxlTeacher":
        """The teacher of `settings` for `prompt`; ValueError that names what cannot be used and why."""
        folder = PipelineFolder.open(
            settings.model,
            settings.variant,
            with_unet=settings.unet is None,
            with_vae=settings.vae is None,
            local_files_only=settings.local_files_only,
        )
        alphas_cumprod, predicts_velocity = read_schedule(folder)
        latent_range = read_latent_range(folder, settings)
        autoencoder = Autoencoder.load(folder, settings, device)
        native = native_size(folder, autoencoder)
        # Before the UNet is read: it and the text encoders are not needed together.
        conditioning = encode_conditioning(folder, settings.opposite, prompt, native, cache, device)
        return cls(
            settings=settings,
            folder=folder,
            cache=cache,
            device=device,
            unet=frozen(load_unet(folder, settings), device),
            autoencoder=autoencoder,
            alphas_cumprod=alphas_cumprod.to(device),
            predicts_velocity=predicts_velocity,
            latent_range=None if latent_range is None else latent_range.to(device),
            vocabulary=folder.vocabulary(),
            conditioning=conditioning,
        )

    def with_prompt(self, prompt: str) -> "SdxlTeacher":
        """The same networks asked about another prompt."""
        native = int(self.conditioning.time_ids[0, 0])
        opposite = self.settings.opposite
        conditioning = encode_conditioning(self.folder, opposite, prompt, native, self.cache, self.device)
        return replace(self, conditioning=conditioning)

    @property
    def resolution(self) -> int:
        return self.settings.resolution

    def encode(
        self, images: Float[Tensor, "views 3 height width"]
    ) -> Float[Tensor, "views channels rows columns"]:
        return self.autoencoder.encode(images)

    def decode(
        self, latents: Float[Tensor, "views channels rows columns"]
    ) -> Float[Tensor, "views 3 height width"]:
        return self.autoencoder.decode(latents)

    @torch.no_grad()
    def predict_noise(
        self,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None = None,
    ) -> tuple[
        Float[Tensor, "views channels rows columns"],
        Float[Tensor, "views channels rows columns"],
    ]:
        """Unconditional and conditional prediction of the noise, in the dtype of `noisy`."""
        dtype = self.unet.dtype
        both = torch.cat([noisy, noisy])
        predicted = self.unet(
            both.to(dtype=dtype, memory_format=torch.channels_last),
            torch.cat([timesteps, timesteps]),
            return_dict=False,
            **self.conditioning.arguments(len(noisy), dtype),
        )[0].to(noisy)
        if self.predicts_velocity:
            predicted = noise_from_velocity(both, predicted, self.alphas_cumprod[timesteps].repeat(2))
        unconditional, conditional = predicted.chunk(2)
        return unconditional, conditional


def native_size(folder: PipelineFolder, autoencoder: Autoencoder) -> int:
    """Side in pixels of the images the UNet was trained for, 1024 for SDXL; ValueError for misfits."""
    config = read_json(folder.path / "unet" / "config.json")
    if config.get("addition_embed_type") != "text_time" or config.get("time_cond_proj_dim"):
        raise ValueError(f"{folder.path}/unet is not conditioned as SDXL's is, by text and time ids alone")
    channels = autoencoder.model.config["latent_channels"]
    if config["in_channels"] != channels:
        raise ValueError(
            f"{folder.path}/unet takes {config['in_channels']} channels, the autoencoder makes {channels}: "
            "only text-to-image models can teach, not inpainting or refining ones"
        )
    return config["sample_size"] * autoencoder.factor


def read_latent_range(
    folder: PipelineFolder, settings: TeacherSettings
) -> Float[Tensor, "channels 2"] | None:
    """The folder's latent_range.json; ValueError where clamping needs it and it is not there."""
    latent_range = folder.latent_range()
    if settings.clamp and latent_range is None:
        raise ValueError(
            f"{folder.path} has no latent_range.json, which clamp needs: write "
            '{"low": [...], "high": [...]}, one number a channel, or set clamp: false'
        )
    return latent_range


def read_schedule(folder: PipelineFolder) -> tuple[Float[Tensor, " steps"], bool]:
    """alphas_cumprod, and whether the network predicts velocity instead of noise."""
    config = folder.scheduler()
    kind = config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(
            f"{folder.path}: prediction_type {kind!r} is not supported; epsilon and v_prediction are"
        )
    needed = {"beta_start", "beta_end", "beta_schedule", "num_train_timesteps"}
    if not needed <= config.keys():
        raise ValueError(
            f"{folder.path}: the schedule of {config.get('_class_name')} is not one of betas "
            f"({', '.join(sorted(needed - config.keys()))} missing); use a model trained with one"
        )
    keys = needed | {"trained_betas", "rescale_betas_zero_snr"} & config.keys()
    return DDIMScheduler(**{key: config[key] for key in keys}).alphas_cumprod, kind == "v_prediction"


def load_unet(folder: PipelineFolder, settings: TeacherSettings) -> UNet2DConditionModel:
    """The folder's UNet, with the weights of `settings.unet` where given."""
    path, dtype = folder.path / "unet", getattr(torch, settings.dtype)
    if settings.unet is None:
        return UNet2DConditionModel.from_pretrained(path, variant=folder.variant, **reading(dtype))
    check_checkpoint(settings.unet, settings.timesteps, settings.guidance_scale)
    file = locate(settings.unet, [], settings.local_files_only)
    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        unet = UNet2DConditionModel(**_arguments(read_json(path / "config.json")))
    try:
        unet.load_state_dict(load_file(file), assign=True)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the UNet of {path / 'config.json'}: {error}") from error
    return unet.to(dtype)


def _arguments(config: dict) -> dict:
    """A saved config without its notes on who saved it."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
