"""A full-size SDXL without its download: `python -m benchmarks.make_random_sdxl FOLDER`, 14 GB.

The files have the names, shapes and types of those on the Hub, and random weights. They teach nothing,
but take the time and memory that the real ones take. FOLDER gets

    base/     as stabilityai/stable-diffusion-xl-base-1.0, fp16 variant; its tokenizers know few words
    vae/      as madebyollin/sdxl-vae-fp16-fix
    taesdxl/  as madebyollin/taesdxl
    sdxl_lightning_4step_unet.safetensors, sdxl_lightning_4step_lora.safetensors  as ByteDance/SDXL-Lightning
    params.yaml  the project's, for map 2, with these files as the teachers `sdxl` and `sdxl-lightning`
"""

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from teacher.tokenizer import train_tokenizer

Model = TypeVar("Model", bound=nn.Module)
UNET, LORA = "sdxl_lightning_4step_unet.safetensors", "sdxl_lightning_4step_lora.safetensors"
CAPTIONS = ("a stone tower on snowy hills", "a wooden house on a grassy plain", "a sandy island in the water")


@dataclass(frozen=True)
class Scale:
    """The numbers in which a small model differs from SDXL."""

    unet_channels: tuple[int, int, int]
    unet_layers: int  # per block
    transformer_layers: tuple[int, int, int]
    heads: tuple[int, int, int]
    latents: int  # side
    vae_channels: tuple[int, ...]
    groups: int  # of all group normalisations
    text_widths: tuple[int, int]
    text_layers: tuple[int, int]
    text_heads: tuple[int, int]
    vocabulary: int
    tokens: int
    lora_rank: int


FULL = Scale(
    unet_channels=(320, 640, 1280),
    unet_layers=2,
    transformer_layers=(1, 2, 10),
    heads=(5, 10, 20),
    latents=128,
    vae_channels=(128, 256, 512, 512),
    groups=32,
    text_widths=(768, 1280),
    text_layers=(12, 32),
    text_heads=(12, 20),
    vocabulary=49408,
    tokens=77,
    lora_rank=64,
)
SMALL = Scale(
    unet_channels=(16, 16, 32),
    unet_layers=1,
    transformer_layers=(1, 1, 2),
    heads=(2, 4, 4),
    latents=8,
    vae_channels=(8, 16, 16, 16),
    groups=8,
    text_widths=(32, 64),
    text_layers=(3, 2),
    text_heads=(4, 4),
    vocabulary=600,
    tokens=16,
    lora_rank=4,
)
TIME_EMBEDDING = 256  # features of each of the six sizes that SDXL's UNet is told


def unet_arguments(scale: Scale) -> dict[str, Any]:
    return {
        "sample_size": scale.latents,
        "block_out_channels": scale.unet_channels,
        "layers_per_block": scale.unet_layers,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": scale.transformer_layers,
        "attention_head_dim": scale.heads,  # so diffusers calls the number of heads
        "cross_attention_dim": sum(scale.text_widths),
        "norm_num_groups": scale.groups,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": TIME_EMBEDDING,
        "projection_class_embeddings_input_dim": scale.text_widths[1] + 6 * TIME_EMBEDDING,
    }


def vae_arguments(scale: Scale) -> dict[str, Any]:
    blocks = len(scale.vae_channels)
    return {
        "down_block_types": ("DownEncoderBlock2D",) * blocks,
        "up_block_types": ("UpDecoderBlock2D",) * blocks,
        "block_out_channels": scale.vae_channels,
        "layers_per_block": 2,
        "norm_num_groups": scale.groups,
        "sample_size": scale.latents * 2 ** (blocks - 1),
        "scaling_factor": 0.13025,
    }


def text_config(scale: Scale, which: int, tokenizer: Any) -> CLIPTextConfig:
    """Of the first or the second text encoder, 0 or 1."""
    return CLIPTextConfig(
        vocab_size=scale.vocabulary,
        hidden_size=scale.text_widths[which],
        intermediate_size=4 * scale.text_widths[which],
        projection_dim=scale.text_widths[which],
        num_hidden_layers=scale.text_layers[which],
        num_attention_heads=scale.text_heads[which],
        max_position_embeddings=scale.tokens,
        hidden_act=("quick_gelu", "gelu")[which],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def random_weights(model: Model, device: str, generator: torch.Generator) -> Model:
    """`model` from the meta device with float16 weights that keep activations of about one.

    Normal with a variance of 1 / inputs; scales of normalisations 1, biases 0.
    """
    model = model.half().to_empty(device=device)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
        else:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=generator)
    return model.requires_grad_(False)


def lora_of(unet: nn.Module, rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A small change to every linear and convolution of the blocks, in Kohya's format."""
    found: dict[str, Tensor] = {}
    for name, layer in unet.named_modules():
        if (
            not isinstance(layer, (nn.Linear, nn.Conv2d))
            or "_blocks." not in name
            and "mid_block" not in name
        ):
            continue
        key, weight = f"lora_unet_{name.replace('.', '_')}", layer.weight
        down, up = (rank, *weight.shape[1:]), (len(weight), rank, *(1,) * (weight.ndim - 2))
        for part, shape in (("lora_down", down), ("lora_up", up)):
            made = torch.empty(shape, dtype=weight.dtype, device=weight.device)
            std = 0.1 * made[0].numel() ** -0.5
            found[f"{key}.{part}.weight"] = nn.init.normal_(made, std=std, generator=generator)
        found[f"{key}.alpha"] = torch.tensor(rank, dtype=weight.dtype)
    return found


def write_folder(folder: Path, scale: Scale, device: str, seed: int = 0) -> None:
    """All the files; `folder` is there whole or not at all. FileExistsError where it is there already."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists; remove it, or name another")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.device("meta"):
        empty = UNet2DConditionModel(**unet_arguments(scale))
    pipeline = base_pipeline(scale, device, generator)
    pipeline.save_pretrained(part / "base", variant="fp16")
    pipeline.vae.save_pretrained(part / "vae")
    save_file(lora_of(pipeline.unet, scale.lora_rank, generator), part / LORA)
    with torch.device("meta"):
        tiny = AutoencoderTiny()
    random_weights(tiny, device, generator).save_pretrained(part / "taesdxl")
    del pipeline  # its memory, for the other UNet
    save_file(random_weights(empty, device, generator).state_dict(), part / UNET)
    write_params(part / "params.yaml", folder.resolve())
    os.replace(part, folder)


def base_pipeline(scale: Scale, device: str, generator: torch.Generator) -> StableDiffusionXLPipeline:
    tokenizer: Any = train_tokenizer(CAPTIONS, 540, scale.tokens)
    texts = [text_config(scale, which, tokenizer) for which in (0, 1)]
    with torch.device("meta"):
        models: tuple[Any, ...] = (
            UNet2DConditionModel(**unet_arguments(scale)),
            AutoencoderKL(**vae_arguments(scale)),
            CLIPTextModel(texts[0]),
            CLIPTextModelWithProjection(texts[1]),
        )
    scheduler: Any = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    unet, vae, first, second = (random_weights(model, device, generator) for model in models)
    return StableDiffusionXLPipeline(
        unet=unet,
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=scheduler,
        add_watermarker=False,
    )


def write_params(file: Path, folder: Path) -> None:
    """params.yaml of this checkout with the files under `folder` in place of those on the Hub."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    sources = {"folder": str(folder / "base"), "vae": str(folder / "vae"), "local_files_only": True}
    params["teachers"]["sdxl"]["model"] |= sources
    params["teachers"]["sdxl-lightning"]["model"] |= sources | {"unet": str(folder / UNET)}
    params |= {"guidance": "sdxl-lightning", "map_id": 2}
    file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", choices=("full", "small"), default="full")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    write_folder(arguments.folder, {"full": FULL, "small": SMALL}[arguments.scale], arguments.device)
    print(f"train with it: python -m stages.train --params {arguments.folder / 'params.yaml'}")


if __name__ == "__main__":
    main()
