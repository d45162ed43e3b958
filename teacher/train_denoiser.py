"""The denoiser: an SDXL UNet and its two CLIP text encoders, trained jointly from scratch.

    torchrun --nproc-per-node 2 -m teacher.train_denoiser --data teacher/data/teacher --out models/tiny

Writes a folder in the layout of stabilityai/stable-diffusion-xl-base-1.0; the VAE must be there already.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from teacher.data import CaptionedRenders, load_renders, to_unit, token_table
from teacher.optimization import Descent, Fit, start_processes, training_arguments
from teacher.tokenizer import train_tokenizer
from voxsds.files.disk import write_json
from voxsds.files.params import read_params, read_section
from voxsds.guidance.sdxl.viewpoint import camera_ids, size_ids


@dataclass(frozen=True)
class DenoiserSettings:
    channels: tuple[int, ...]
    heads: tuple[int, ...]
    transformer_layers: tuple[int, ...]
    layers: int
    text_width: int
    text_layers: int
    pooled_width: int
    vocabulary: int
    tokens: int
    batch: int  # per process
    lr: float
    weight_decay: float
    snr_gamma: float  # min-SNR weighting (Hang et al. 2023)
    drop_caption: float  # share of empty captions, for classifier-free guidance
    drop_camera: float  # share of images of which it is not told from where they look
    average: float  # decay of the averaged weights, which are the ones shipped
    seconds: float
    seed: int
    start: str | None  # folder of a teacher to go on from; null: from nothing


TIME_EMBEDDING = 32  # width of each of the six embedded size and crop numbers


def new_unet(settings: DenoiserSettings, latent_size: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=latent_size,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        norm_num_groups=16,
        transformer_layers_per_block=settings.transformer_layers,
        attention_head_dim=settings.heads,
        cross_attention_dim=2 * settings.text_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_EMBEDDING,
        projection_class_embeddings_input_dim=settings.pooled_width + 6 * TIME_EMBEDDING,
    )


def new_text_config(settings: DenoiserSettings, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=4 * settings.text_width,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=4,
        max_position_embeddings=settings.tokens,
        hidden_act="gelu",
        projection_dim=settings.pooled_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


class Denoiser(nn.Module):
    """UNet and text encoders with one forward: noise predicted from noisy latents and token ids."""

    def __init__(self, settings: DenoiserSettings, tokenizer: CLIPTokenizer, latent_size: int):
        super().__init__()
        self.unet = new_unet(settings, latent_size)
        self.text = CLIPTextModel(new_text_config(settings, tokenizer))
        self.text_2 = CLIPTextModelWithProjection(new_text_config(settings, tokenizer))

    def load(self, folder: Path) -> None:
        """The weights of a teacher of the same layout."""
        for part in ("unet", "text_encoder", "text_encoder_2"):
            files = sorted((folder / part).glob("*.safetensors"))
            weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
            model = {"unet": self.unet, "text_encoder": self.text, "text_encoder_2": self.text_2}[part]
            model.load_state_dict({name: weight.float() for name, weight in weights.items()})

    def forward(
        self,
        noisy: Float[Tensor, "b c h w"],
        timesteps: Int[Tensor, " b"],
        ids: Int[Tensor, "b tokens"],
        time_ids: Float[Tensor, "b 6"],
    ) -> Float[Tensor, "b c h w"]:
        first = self.text(ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_2(ids, output_hidden_states=True)
        conditions = {"text_embeds": second.text_embeds, "time_ids": time_ids}
        context = torch.cat([first, second.hidden_states[-2]], dim=-1)
        return self.unet(noisy, timesteps, encoder_hidden_states=context, added_cond_kwargs=conditions).sample


@torch.no_grad()
def encode_all(vae: AutoencoderKL, images: Tensor, device: torch.device) -> Float[Tensor, "images c h w"]:
    """Scaled latents of every image, in half precision on the device."""
    vae.to(memory_format=torch.channels_last)
    parts = []
    for part in images.split(512):
        pixels = to_unit(part.to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            mean = vae.encode(pixels).latent_dist.mean
        parts.append((mean.float() * vae.config.scaling_factor).half())
    return torch.cat(parts)


def noise_error(
    model: nn.Module,
    latents: Float[Tensor, "b c h w"],
    ids: Int[Tensor, "b tokens"],
    time_ids: Float[Tensor, "b 6"],
    alphas_cumprod: Float[Tensor, " steps"],
    snr_gamma: float,
) -> Float[Tensor, ""]:
    """Noise-prediction loss with min-SNR weights, min(SNR, gamma) / SNR for a noise predictor."""
    timesteps = torch.randint(len(alphas_cumprod), (len(latents),), device=latents.device)
    noise = torch.randn_like(latents)
    a = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    predicted = model(a.sqrt() * latents + (1 - a).sqrt() * noise, timesteps, ids, time_ids).float()
    snr = (a / (1 - a)).flatten()
    weights = snr.clamp(max=snr_gamma) / snr
    return (weights * (predicted - noise).square().mean(dim=(1, 2, 3))).mean()


def save_pipeline(model: Denoiser, vae: AutoencoderKL, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Writes half-precision weights, in shards that every Git host takes."""
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=model.text,
        text_encoder_2=model.text_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=model.unet,
        scheduler=new_scheduler(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(out, max_shard_size="15MB")


def new_scheduler() -> DDIMScheduler:
    """SDXL's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def known_words(data: CaptionedRenders) -> str:
    """Words of the captions, one a line."""
    words = {
        word.strip(",.") for wordings in data.captions for wording in wordings for word in wording.split()
    }
    return "\n".join(sorted(words - {""})) + "\n"


class Batches:
    """Random latents with one of their wordings each and the direction to their camera, some blank."""

    def __init__(
        self, data: CaptionedRenders, latents: Tensor, tokenizer: CLIPTokenizer, settings: DenoiserSettings
    ):
        self.latents, self.settings, self.views = latents, settings, data.views
        self.ids = token_table(tokenizer, data.captions).to(latents.device)
        self.blank = token_table(tokenizer, [[""]]).to(latents.device)[0, 0]
        self.train = data.train_images.to(latents.device)
        self.untold = size_ids(data.images.shape[-1]).to(latents.device)
        self.told = camera_ids(data.towards, self.untold)

    def draw(
        self,
    ) -> tuple[Float[Tensor, "batch c h w"], Int[Tensor, "batch tokens"], Float[Tensor, "batch 6"]]:
        batch, device = self.settings.batch, self.latents.device
        chosen = self.train[torch.randint(len(self.train), (batch,), device=device)]
        ids = self.ids[chosen // self.views, torch.randint(self.ids.shape[1], (batch,), device=device)]
        dropped = torch.rand(batch, device=device) < self.settings.drop_caption
        unseen = torch.rand(batch, device=device) < self.settings.drop_camera
        time_ids = torch.where(unseen[:, None], self.untold, self.told[chosen])
        latents = self.latents[chosen].float().contiguous(memory_format=torch.channels_last)
        return latents, torch.where(dropped[:, None], self.blank, ids), time_ids


def main() -> None:
    args = training_arguments(__doc__)
    settings = read_section(read_params(args.params), "denoiser", DenoiserSettings, where=str(args.params))
    rank, processes, device = start_processes()
    data = load_renders(args.data)
    if settings.start is None:
        wordings = (wording for wordings in data.captions for wording in wordings)
        tokenizer = train_tokenizer(wordings, settings.vocabulary, settings.tokens)
    else:
        tokenizer = CLIPTokenizer.from_pretrained(Path(settings.start) / "tokenizer")
    vae = AutoencoderKL.from_pretrained(args.out / "vae", torch_dtype=torch.float32).requires_grad_(False)
    batches = Batches(data, encode_all(vae.to(device), data.images, device), tokenizer, settings)
    vae.to("cpu", memory_format=torch.contiguous_format)
    size, state = batches.latents.shape[-1], args.out / "training.pt"
    torch.manual_seed(settings.seed)
    model = Denoiser(settings, tokenizer, size).to(device)
    if settings.start is not None:
        model.load(Path(settings.start))
    model.unet.to(memory_format=torch.channels_last)
    alphas_cumprod = new_scheduler().alphas_cumprod.to(device)

    def loss_of(latents: Tensor, ids: Tensor, time_ids: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return noise_error(model, latents, ids, time_ids, alphas_cumprod, settings.snr_gamma)

    how = Descent(settings.lr, settings.weight_decay, (0.9, 0.99), 500, settings.average, settings.seconds)
    fit = Fit(loss_of, model.parameters(), how)
    if state.exists():
        fit.load(state)
    if device.type == "cuda":
        model.unet.compile()
    torch.manual_seed(settings.seed + 1000 * (rank + 1) + fit.step)
    while not fit.is_done and not fit.clock.is_over(fit.step, args.stop_after):
        loss = fit.advance(*batches.draw())
        if rank == 0:
            fit.report("denoiser", loss)
    if rank > 0:
        return
    shipped = Denoiser(settings, tokenizer, size).eval()
    fit.averaged.copy_to(shipped.parameters())
    save_pipeline(shipped, vae, tokenizer, args.out)
    (args.out / "words.txt").write_text(known_words(data))
    write_json(args.out / "camera.json", {"time_ids": [1, 2, 3], "direction": ["up", "east", "south"]})
    history = {
        "steps": fit.step,
        "of": fit.clock.steps,
        "samples": fit.step * settings.batch * processes,
        "seconds": round(fit.seconds),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "processes": processes,
    }
    write_json(args.out / "training.json", history)
    print(f"denoiser: {history}")
    if fit.is_done:
        state.unlink(missing_ok=True)
    else:
        fit.save(state)


if __name__ == "__main__":
    main()
