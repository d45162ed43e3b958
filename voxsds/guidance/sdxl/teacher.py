"""Any model in the diffusers SDXL layout as a teacher.

Only this module, autoencoder.py and fused.py import diffusers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from voxsds.files.disk import read_json
from voxsds.guidance.autoencoder import Autoencoder
from voxsds.guidance.fast.fused import fuse
from voxsds.guidance.fast.graphs import Replayed
from voxsds.guidance.hub import locate
from voxsds.guidance.noise import noise_from_velocity
from voxsds.guidance.sdxl.folder import VAE_PATTERNS, PipelineFolder
from voxsds.guidance.sdxl.lightning import check_checkpoint
from voxsds.guidance.sdxl.lora import add_lora
from voxsds.guidance.sdxl.text import Conditioning, encode_conditioning
from voxsds.guidance.sdxl.viewpoint import camera_ids, towards_camera
from voxsds.guidance.teacher import TeacherSettings
from voxsds.guidance.weights import frozen, load_model, require_fit
from voxsds.render.rays import RayBundle


@dataclass(frozen=True, eq=False)
class SdxlTeacher:
    """UNet, autoencoder and one encoded prompt; see `Teacher` for what the methods promise."""

    settings: TeacherSettings
    folder: PipelineFolder
    cache: Path
    device: str
    unet: UNet2DConditionModel
    denoise: Callable[..., Tensor]  # `ask` of the UNet; on CUDA as a graph
    autoencoder: Autoencoder
    alphas_cumprod: Float[Tensor, " steps"]
    predicts_velocity: bool
    latent_range: Float[Tensor, "channels 2"] | None
    vocabulary: frozenset[str] | None
    conditioning: Conditioning
    knows_camera: bool

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
        latent_range = folder.latent_range()
        autoencoder = load_autoencoder(folder, settings, device)
        native = native_size(folder, autoencoder)
        # Before the UNet is read: it and the text encoders are not needed together.
        conditioning = encode_conditioning(folder, settings.opposite, prompt, native, cache, device)
        unet = load_unet(folder, settings, device)
        denoise = partial(ask, unet)
        if device.startswith("cuda"):
            fuse(unet)
            denoise = Replayed(denoise)
        return cls(
            settings=settings,
            folder=folder,
            cache=cache,
            device=device,
            unet=unet,
            denoise=denoise,
            autoencoder=autoencoder,
            alphas_cumprod=alphas_cumprod.to(device),
            predicts_velocity=predicts_velocity,
            latent_range=None if latent_range is None else latent_range.to(device),
            vocabulary=folder.vocabulary(),
            conditioning=conditioning,
            knows_camera=folder.knows_camera(),
        )

    def with_prompt(self, prompt: str) -> "SdxlTeacher":
        """The same networks asked about another prompt."""
        native = int(self.conditioning.time_ids[0, 0])
        opposite = self.settings.opposite
        conditioning = encode_conditioning(self.folder, opposite, prompt, native, self.cache, self.device)
        return replace(self, conditioning=conditioning)

    def against_nothing(self) -> "SdxlTeacher":
        """The same prompt, with the empty text in the place of a negative or source prompt."""
        native = int(self.conditioning.time_ids[0, 0])
        plain = encode_conditioning(self.folder, None, "", native, self.cache, self.device)
        return replace(
            self,
            conditioning=replace(
                self.conditioning,
                context=torch.stack([plain.context[0], self.conditioning.context[1]]),
                pooled=torch.stack([plain.pooled[0], self.conditioning.pooled[1]]),
            ),
        )

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
        unconditional, conditional = self._predict(noisy, timesteps, self._time_ids(len(noisy), rays), 0)
        return unconditional, conditional

    @torch.no_grad()
    def predict_conditional(
        self,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None = None,
    ) -> Float[Tensor, "views channels rows columns"]:
        return self._predict(noisy, timesteps, self._time_ids(len(noisy), rays), 1)[0]

    def _time_ids(self, views: int, rays: RayBundle | None) -> Float[Tensor, "views 6"]:
        """What each view is told beside the prompt: sizes, or from where it looks."""
        usual = self.conditioning.time_ids[1]
        if rays is None or not self.knows_camera:
            return usual.expand(views, -1)
        return camera_ids(towards_camera(rays), usual)

    def _predict(self, noisy: Tensor, timesteps: Tensor, time_ids: Tensor, first: int) -> list[Tensor]:
        """The predictions under the conditioning's rows from `first` on, from one forward; or one a view."""
        if self.settings.low_memory and len(noisy) > 1:
            views = zip(noisy.split(1), timesteps.split(1), time_ids.split(1), strict=True)
            each = [self._predict(*view, first) for view in views]
            return [torch.cat(predicted) for predicted in zip(*each, strict=True)]
        dtype, times = self.unet.dtype, 2 - first
        every = noisy.repeat(times, 1, 1, 1)
        predicted = self.denoise(
            every.to(dtype=dtype, memory_format=torch.channels_last),
            timesteps.repeat(times),
            *self.conditioning.batch(len(noisy), dtype, first, time_ids),
        ).to(noisy)
        if self.predicts_velocity:
            predicted = noise_from_velocity(every, predicted, self.alphas_cumprod[timesteps].repeat(times))
        return list(predicted.chunk(times))


def ask(
    unet: UNet2DConditionModel,
    noisy: Float[Tensor, "batch channels rows columns"],
    timesteps: Int[Tensor, " batch"],
    context: Float[Tensor, "batch tokens features"],
    pooled: Float[Tensor, "batch pooled"],
    time_ids: Float[Tensor, "batch 6"],
) -> Float[Tensor, "batch channels rows columns"]:
    """One forward of the UNet, all that it depends on being tensors."""
    added = {"text_embeds": pooled, "time_ids": time_ids}
    return unet(noisy, timesteps, encoder_hidden_states=context, added_cond_kwargs=added, return_dict=False)[
        0
    ]


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


def load_autoencoder(folder: PipelineFolder, settings: TeacherSettings, device: str) -> Autoencoder:
    """The folder's autoencoder, or the one of `settings.vae`; ValueError for one that does not fit."""
    path, variant = folder.path / "vae", folder.variant
    if settings.vae is not None:
        path, variant = locate(settings.vae, VAE_PATTERNS, settings.local_files_only), None
    dtype = getattr(torch, settings.vae_dtype)
    return Autoencoder.load(path, variant, dtype, settings.resolution, settings.low_memory, device)


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


def load_unet(folder: PipelineFolder, settings: TeacherSettings, device: str) -> UNet2DConditionModel:
    """The folder's UNet; its weights those of `settings.unet` where given, with `settings.lora` on top.

    ValueError that says which weights are missing or too much, in the model's own files too.
    """
    path, dtype = folder.path / "unet", getattr(torch, settings.dtype)
    for source, form in ((settings.unet, "unet"), (settings.lora, "lora")):
        if source is not None:
            check_checkpoint(source, form, settings.timesteps, settings.guidance_scale)
    if settings.unet is None:
        unet = load_model(UNet2DConditionModel, path, folder.variant, dtype)
    else:
        file = locate(settings.unet, [], settings.local_files_only)
        unet = unet_of_checkpoint(file, path / "config.json", dtype)
    unet = frozen(unet, device)
    if settings.lora is not None:
        add_lora(unet, locate(settings.lora, [], settings.local_files_only))
    return unet


def unet_of_checkpoint(file: Path, config: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """The UNet of `config` with the weights of one file; ValueError where they do not fit."""
    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        unet = UNet2DConditionModel(**_arguments(read_json(config)))
    weights = load_file(file)
    require_fit(weights, unet.state_dict(), file, f"the UNet of {config}")
    unet.load_state_dict({name: weight.to(dtype) for name, weight in weights.items()}, assign=True)
    return unet


def _arguments(config: dict) -> dict:
    """A saved config without its notes on who saved it."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
