"""Any model in the diffusers SDXL layout as a teacher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from voxsds.files.disk import read_json
from voxsds.guidance.ask import AskSettings
from voxsds.guidance.autoencoder import Autoencoder
from voxsds.guidance.fast.fused import fuse
from voxsds.guidance.fast.graphs import Replayed
from voxsds.guidance.hub import locate
from voxsds.guidance.noise import NoiseTable
from voxsds.guidance.sdxl.folder import VAE_PATTERNS, PipelineFolder, open_folder
from voxsds.guidance.sdxl.lightning import check_checkpoint
from voxsds.guidance.sdxl.lora import add_lora
from voxsds.guidance.sdxl.schedule import noise_from_velocity, read_schedule
from voxsds.guidance.sdxl.settings import SdxlModel
from voxsds.guidance.sdxl.text import Conditioning, embed_prompts, encode_conditioning, forces_zeros
from voxsds.guidance.sdxl.viewpoint import camera_ids, towards_camera
from voxsds.guidance.teacher import Prediction, Question
from voxsds.guidance.weights import frozen, load_model, require_fit
from voxsds.render.rays import RayBundle


@dataclass(frozen=True, eq=False)
class SdxlTeacher:
    """UNet, autoencoder and where texts are read; see `Teacher` for what the methods promise."""

    model: SdxlModel
    folder: PipelineFolder
    cache: Path
    device: str
    unet: UNet2DConditionModel
    denoise: Callable[..., Tensor]  # `ask` of the UNet; on CUDA as a graph
    autoencoder: Autoencoder
    native: int  # side of the images that the UNet was trained on, pixels
    noise: NoiseTable
    predicts_velocity: bool
    latent_range: Float[Tensor, "channels 2"] | None
    vocabulary: frozenset[str] | None
    knows_camera: bool

    @classmethod
    def load(
        cls, model: SdxlModel, ask: AskSettings, cache: Path, device: str = "cpu", texts: Sequence[str] = ()
    ) -> "SdxlTeacher":
        """The networks of `model`; ValueError that names what cannot be used and why.

        `texts` are encoded into `cache` first: the text encoders and the UNet are not needed together.
        """
        folder = open_folder(model)
        noise, predicts_velocity = read_schedule(folder)
        latent_range = folder.latent_range()
        autoencoder = load_autoencoder(folder, model, ask.resolution, device)
        native = native_size(folder, autoencoder)
        if texts:
            embed_prompts(folder, [*texts] if forces_zeros(folder) else [*texts, ""], cache, device)
        for source, form in ((model.unet, "unet"), (model.lora, "lora")):
            if source is not None:
                check_checkpoint(source, form, ask.timesteps, ask.guidance_scale)
        unet = load_unet(folder, model, device)
        denoise = partial(answer, unet)
        if device.startswith("cuda"):
            fuse(unet)
            denoise = Replayed(denoise)
        return cls(
            model=model,
            folder=folder,
            cache=cache,
            device=device,
            unet=unet,
            denoise=denoise,
            autoencoder=autoencoder,
            native=native,
            noise=noise.to(device),
            predicts_velocity=predicts_velocity,
            latent_range=None if latent_range is None else latent_range.to(device),
            vocabulary=folder.vocabulary(),
            knows_camera=folder.knows_camera(),
        )

    @property
    def resolution(self) -> int:
        return self.autoencoder.resolution

    def read(self, text: str, against: str | None) -> Question:
        told = encode_conditioning(self.folder, text, against, self.native, self.cache, self.device)
        return Question(text, against, told)

    def encode(
        self, images: Float[Tensor, "views 3 height width"]
    ) -> Float[Tensor, "views channels rows columns"]:
        return self.autoencoder.encode(images)

    def decode(
        self, latents: Float[Tensor, "views channels rows columns"]
    ) -> Float[Tensor, "views 3 height width"]:
        return self.autoencoder.decode(latents)

    @torch.no_grad()
    def predict(
        self,
        question: Question,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None = None,
    ) -> Prediction:
        return Prediction(*self._predict(question.encoded, noisy, timesteps, rays, 0))

    @torch.no_grad()
    def predict_towards(
        self,
        question: Question,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None = None,
    ) -> Float[Tensor, "views channels rows columns"]:
        return self._predict(question.encoded, noisy, timesteps, rays, 1)[0]

    def _predict(
        self, told: Conditioning, noisy: Tensor, timesteps: Tensor, rays: RayBundle | None, first: int
    ) -> list[Tensor]:
        """The predictions by the rows of `told` from `first` on, from one forward; or one a view."""
        time_ids = self._time_ids(told, len(noisy), rays)
        if not self.model.low_memory:
            return self._forward(told, noisy, timesteps, time_ids, first)
        views = zip(noisy.split(1), timesteps.split(1), time_ids.split(1), strict=True)
        each = [self._forward(told, *view, first) for view in views]
        return [torch.cat(predicted) for predicted in zip(*each, strict=True)]

    def _time_ids(self, told: Conditioning, views: int, rays: RayBundle | None) -> Float[Tensor, "views 6"]:
        """Six numbers for each view beside the prompt: sizes, or from where it looks."""
        usual = told.time_ids[1]
        if rays is None or not self.knows_camera:
            return usual.expand(views, -1)
        return camera_ids(towards_camera(rays), usual)

    def _forward(
        self, told: Conditioning, noisy: Tensor, timesteps: Tensor, time_ids: Tensor, first: int
    ) -> list[Tensor]:
        dtype, times = self.unet.dtype, 2 - first
        every = noisy.repeat(times, 1, 1, 1)
        predicted = self.denoise(
            every.to(dtype=dtype, memory_format=torch.channels_last),
            timesteps.repeat(times),
            *told.batch(len(noisy), dtype, first, time_ids),
        ).to(noisy)
        if self.predicts_velocity:
            level = self.noise.at(timesteps.repeat(times), every)
            predicted = noise_from_velocity(every, predicted, level)
        return list(predicted.chunk(times))


def answer(
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


def load_autoencoder(folder: PipelineFolder, model: SdxlModel, resolution: int, device: str) -> Autoencoder:
    """The folder's autoencoder, or the one of `model.vae`; ValueError for one that does not fit."""
    path, variant = folder.path / "vae", folder.variant
    if model.vae is not None:
        path, variant = locate(model.vae, VAE_PATTERNS, model.local_files_only), None
    dtype = getattr(torch, model.vae_dtype)
    return Autoencoder.load(path, variant, dtype, resolution, model.low_memory, device)


def load_unet(folder: PipelineFolder, model: SdxlModel, device: str) -> UNet2DConditionModel:
    """The folder's UNet; its weights those of `model.unet` where given, with `model.lora` on top.

    ValueError that says which weights are missing or too much, in the model's own files too.
    """
    path, dtype = folder.path / "unet", getattr(torch, model.dtype)
    if model.unet is None:
        unet = load_model(UNet2DConditionModel, path, folder.variant, dtype)
    else:
        file = locate(model.unet, [], model.local_files_only)
        unet = unet_of_checkpoint(file, path / "config.json", dtype)
    unet = frozen(unet, device)
    if model.lora is not None:
        add_lora(unet, locate(model.lora, [], model.local_files_only))
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
