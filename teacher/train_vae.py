"""The autoencoder: 128 px renders to 32 x 32 x 4 latents and back.

python -m teacher.train_vae --data teacher/data/teacher --out models/tiny
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float, UInt8
from torch import Tensor

from teacher.data import load_renders, to_unit
from teacher.optimization import Descent, Fit, start_processes, training_arguments
from voxsds.files.disk import write_json
from voxsds.files.params import read_params, read_section

HELD_OUT_SOFT = 256  # softened renders, the last ones, that no training sees


@dataclass(frozen=True)
class VaeSettings:
    channels: tuple[int, ...]
    batch: int
    lr: float
    kl_weight: float
    gradient_weight: float
    soft_share: float  # share of softened renders in a batch
    average: float
    seconds: float
    seed: int


def new_vae(settings: VaeSettings, resolution: int) -> AutoencoderKL:
    depth = len(settings.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=settings.channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=resolution,
        force_upcast=False,
    )


def edge_error(image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference of the horizontal and vertical pixel differences: keeps edges sharp."""
    error = image - target
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def batch_of(
    clean: UInt8[Tensor, "clean 3 size size"], soft: UInt8[Tensor, "soft 3 size size"], settings: VaeSettings
) -> Float[Tensor, "batch 3 size size"]:
    """Random renders in -1..1, `soft_share` of them of softened worlds."""
    softs = int(settings.batch * settings.soft_share)
    sizes = ((clean, settings.batch - softs), (soft, softs))
    parts = [images[torch.randint(len(images), (count,), device=images.device)] for images, count in sizes]
    return to_unit(torch.cat(parts)).contiguous(memory_format=torch.channels_last)


def psnr(image: Tensor, target: Tensor) -> float:
    """Decibels, for images in -1..1."""
    return -10 * math.log10(F.mse_loss(image, target).item() / 4)


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, images: Tensor, device: torch.device) -> float:
    target = to_unit(images).to(device)
    return psnr(vae.decode(vae.encode(target).latent_dist.mean).sample, target)


@torch.no_grad()
def latent_statistics(
    vae: AutoencoderKL, images: Tensor, device: torch.device
) -> tuple[float, dict[str, list[float]]]:
    """1 / std of the latents, and per channel the 0.1 % and 99.9 % quantiles once scaled by it."""
    latents = torch.cat([vae.encode(to_unit(part).to(device)).latent_dist.mean for part in images.split(256)])
    scaling = 1 / latents.std().item()
    channels = (latents * scaling).transpose(0, 1).flatten(1)
    ends = {"low": 0.001, "high": 0.999}
    return scaling, {
        end: [c.kthvalue(max(1, int(share * len(c)))).values.item() for c in channels]
        for end, share in ends.items()
    }


def reconstruction_loss(
    vae: AutoencoderKL, target: Float[Tensor, "b 3 size size"], settings: VaeSettings
) -> Float[Tensor, ""]:
    with torch.autocast(target.device.type, torch.bfloat16, enabled=target.is_cuda):
        posterior = vae.encode(target).latent_dist
        image = vae.decode(posterior.sample()).sample.float()
    loss = F.l1_loss(image, target) + F.mse_loss(image, target)
    loss = loss + settings.gradient_weight * edge_error(image, target)
    return loss + settings.kl_weight * posterior.kl().float().mean()


def main() -> None:
    args = training_arguments(__doc__)
    settings = read_section(read_params(args.params), "vae", VaeSettings, where=str(args.params))
    data = load_renders(args.data)
    _, _, device = start_processes()
    torch.manual_seed(settings.seed)
    clean, softened = data.images[data.train_images].to(device), data.soft[:-HELD_OUT_SOFT].to(device)
    vae = new_vae(settings, data.images.shape[-1]).to(device, memory_format=torch.channels_last)
    how = Descent(settings.lr, 0.0, (0.9, 0.99), 100, settings.average, settings.seconds)
    fit = Fit(lambda target: reconstruction_loss(vae, target, settings), vae.parameters(), how)
    if device.type == "cuda":
        vae.encoder.compile()
        vae.decoder.compile()
    while not fit.is_done:
        fit.report("vae", fit.advance(batch_of(clean, softened, settings)))
    fit.averaged.copy_to(vae.parameters())
    vae.eval()
    torch.compiler.set_stance("force_eager")  # not worth compiling for
    hard = reconstruction_psnr(vae, data.images[data.test_images[:256]], device)
    soft = reconstruction_psnr(vae, data.soft[-HELD_OUT_SOFT:], device)
    scaling, latent_range = latent_statistics(vae, data.images[data.train_images[:4096]], device)
    vae.register_to_config(scaling_factor=scaling)
    vae.to("cpu", torch.float16, memory_format=torch.contiguous_format).save_pretrained(args.out / "vae")
    write_json(args.out / "latent_range.json", latent_range)
    print(
        f"vae: {fit.step} steps in {fit.seconds:.0f} s; held-out {hard:.2f} dB, softened worlds {soft:.2f} dB"
    )


if __name__ == "__main__":
    main()
