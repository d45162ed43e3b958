"""Is the teacher good enough to be shipped? Measures it, and writes the card and a sheet of samples.

python -m teacher.accept --data teacher/data/teacher --teacher models/tiny --evaluator models/evaluator
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from teacher.data import CaptionedRenders, load_renders, to_unit
from teacher.optimization import start_processes
from teacher.train_vae import reconstruction_psnr
from teacher.worlds.materials import ENGINE
from voxsds.captions.attributes import BIOMES, HELD_OUT, KINDS, MATERIALS, PROMPTS, Attributes, Structure
from voxsds.captions.sentences import canonical_caption
from voxsds.files.disk import read_json, write_image, write_json
from voxsds.files.params import read_params, read_section
from voxsds.guidance.sdxl.viewpoint import size_ids
from voxsds.render.light import SKY, lit_faces

DISTRACTORS = 99


@dataclass(frozen=True)
class AcceptanceSettings:
    captions: int  # held-out captions that are drawn
    samples: int  # images of each
    steps: int  # DDIM steps of a sample
    guidance_scale: float
    timesteps: tuple[int, ...]  # where the conditional and unconditional errors are compared
    seed: int


class Judge:
    """The evaluator: which of several captions an image shows."""

    def __init__(self, folder: Path, device: torch.device):
        self.model = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32).to(device).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.device = device

    @torch.no_grad()
    def images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Unit embeddings of images in -1..1."""
        parts = [
            self.model.get_image_features(part.to(self.device)).pooler_output for part in images.split(128)
        ]
        return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit embeddings of captions."""
        ids = self.tokenizer(
            list(captions), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return F.normalize(self.model.get_text_features(ids.to(self.device)).pooler_output, dim=-1)

    def choice(self, images: Float[Tensor, "n 3 h w"], captions: Sequence[str]) -> list[int]:
        """Index of the caption that fits each image best."""
        return (self.images(images) @ self.texts(captions).T).argmax(-1).tolist()


def attributes_from(facts: dict) -> Attributes:
    return Attributes(**{**facts, "structures": tuple(Structure(**s) for s in facts["structures"])})


def r_precision(
    judge: Judge, images: Tensor, own: list[str], pool: list[str], rng: np.random.Generator
) -> float:
    """Share of images whose own caption wins against 99 other captions of the pool."""
    wins = 0
    for image, caption in zip(images.split(1), own, strict=True):
        others = rng.choice([c for c in pool if c != caption], DISTRACTORS, replace=False)
        wins += judge.choice(image, [caption, *others]) == [0]
    return wins / len(own)


def variants(attributes: Attributes, what: str) -> list[Attributes]:
    """Attributes that differ from these in one value, for every other value of it; the true one first."""
    first = attributes.structures[0] if attributes.structures else None
    match what:
        case "biome":
            others = [replace(attributes, biome=biome) for biome in BIOMES]
        case "structure" if first is not None:
            others = [
                replace(attributes, structures=(replace(first, kind=kind), *attributes.structures[1:]))
                for kind in KINDS
                if kind != "trees" and first.kind != "trees"
            ]
        case "material" if first is not None and first.material is not None:
            others = [
                replace(
                    attributes, structures=(replace(first, material=material), *attributes.structures[1:])
                )
                for material in MATERIALS
            ]
        case _:
            others = []
    return [
        attributes,
        *(other for other in others if canonical_caption(other) != canonical_caption(attributes)),
    ]


def attribute_accuracy(judge: Judge, images: Tensor, attributes: list[Attributes], what: str) -> float:
    """Share of images that the judge gives the right value of one attribute, the others being known."""
    choices = [(image, variants(a, what)) for image, a in zip(images.split(1), attributes, strict=True)]
    right = [
        judge.choice(image, [canonical_caption(v) for v in vs]) == [0] for image, vs in choices if len(vs) > 1
    ]
    return float(np.mean(right))


def accuracies(judge: Judge, images: Tensor, attributes: list[Attributes]) -> dict[str, float]:
    """Accuracy of each attribute."""
    asked = ("biome", "structure", "material")
    return {f"{what}_accuracy": attribute_accuracy(judge, images, attributes, what) for what in asked}


def palette_adherence(images: Float[Tensor, "n 3 h w"], tolerance: float = 0.06) -> float:
    """Share of pixels within `tolerance` of a lit face colour or the sky."""
    colors = torch.cat([lit_faces(ENGINE).reshape(-1, 3), torch.from_numpy(SKY)[None]]).float()
    pixels = (images.movedim(1, -1).reshape(-1, 3).cpu() + 1) / 2
    distances = [torch.cdist(part, colors, p=float("inf")).amin(-1) for part in pixels.split(65536)]
    return float((torch.cat(distances) < tolerance).float().mean())


@torch.no_grad()
def draw(pipeline: StableDiffusionXLPipeline, captions: list[str], settings: AcceptanceSettings) -> Tensor:
    """One image in -1..1 of each caption."""
    generator = torch.Generator().manual_seed(settings.seed)
    images = []
    for start in range(0, len(captions), 64):
        part = captions[start : start + 64]
        images.append(
            pipeline(
                part,
                negative_prompt=[""] * len(part),
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance_scale,
                generator=generator,
                output_type="pt",
            ).images.float()
        )
    return torch.cat(images) * 2 - 1


@torch.no_grad()
def prediction_errors(
    pipeline, data: CaptionedRenders, settings: AcceptanceSettings
) -> dict[str, dict[str, float]]:
    """Mean squared noise error on held-out renders, with their caption and without."""
    device, generator = pipeline.device, torch.Generator().manual_seed(settings.seed)
    chosen = data.test_images[torch.randperm(len(data.test_images), generator=generator)[:256]]
    latents = pipeline.vae.encode(to_unit(data.images[chosen]).to(device)).latent_dist.mean
    latents = latents * pipeline.vae.config.scaling_factor
    captions = [data.captions[image // data.views][0] for image in chosen.tolist()]
    time_ids = size_ids(data.images.shape[-1]).to(device).expand(len(captions), -1)
    context, empty, pooled, empty_pooled = pipeline.encode_prompt(
        captions, negative_prompt=[""] * len(captions), do_classifier_free_guidance=True
    )
    noise = torch.randn(latents.shape, generator=generator).to(device)
    errors = {}
    for timestep in settings.timesteps:
        a = pipeline.scheduler.alphas_cumprod[timestep].to(device)
        noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
        errors[str(timestep)] = {
            name: F.mse_loss(
                pipeline.unet(
                    noisy, timestep, hidden, added_cond_kwargs={"text_embeds": pool, "time_ids": time_ids}
                ).sample,
                noise,
            ).item()
            for name, hidden, pool in (
                ("conditional", context, pooled),
                ("unconditional", empty, empty_pooled),
            )
        }
    return errors


def sheet(images: Float[Tensor, "n 3 h w"], columns: int) -> np.ndarray:
    """Images side by side, `columns` a row."""
    rows = [torch.cat(list(row), dim=-1) for row in ((images + 1) / 2).clamp(0, 1).cpu().split(columns)]
    return torch.cat(rows, dim=-2).movedim(0, -1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--evaluator", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("teacher/params.yaml"))
    args = parser.parse_args()
    settings = read_section(
        read_params(args.params), "acceptance", AcceptanceSettings, where=str(args.params)
    )
    _, _, device = start_processes()
    data, rng = load_renders(args.data), np.random.default_rng(settings.seed)
    judge = Judge(args.evaluator, device)
    pipeline = StableDiffusionXLPipeline.from_pretrained(args.teacher, torch_dtype=torch.float32).to(device)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)

    pool = sorted(set(data.canonical))
    test_worlds = torch.nonzero(data.is_test).flatten().tolist()
    worlds = list({data.canonical[w]: w for w in test_worlds}.values())[: settings.captions]
    repeated = [w for w in worlds for _ in range(settings.samples)]
    attributes = [attributes_from(data.attributes[w]) for w in repeated]
    samples = draw(pipeline, [data.captions[w][0] for w in repeated], settings)
    real = to_unit(torch.stack([data.images[w * data.views] for w in worlds]))
    own = [data.canonical[w] for w in worlds]
    held_out = [
        Attributes(biome, "hills", (Structure(kind, material),))
        for material, kind in sorted(HELD_OUT)
        for biome in BIOMES
    ]
    unseen = draw(pipeline, [canonical_caption(a) for a in held_out], settings)
    card = {
        "samples": {
            "r_precision": r_precision(judge, samples, [data.canonical[w] for w in repeated], pool, rng),
            **accuracies(judge, samples, attributes),
            "held_out_pairs_structure_accuracy": attribute_accuracy(judge, unseen, held_out, "structure"),
            "held_out_pairs_material_accuracy": attribute_accuracy(judge, unseen, held_out, "material"),
            "palette_adherence": palette_adherence(samples),
            "captions": len(worlds),
            "images": len(samples),
            "guidance_scale": settings.guidance_scale,
        },
        "noise_error": prediction_errors(pipeline, data, settings),
        "vae": {
            "psnr_db": reconstruction_psnr(pipeline.vae, data.images[data.test_images[:256]], device),
            "psnr_soft_db": reconstruction_psnr(pipeline.vae, data.soft[-256:], device),
        },
        "evaluator": {
            "r_precision_real": r_precision(judge, real, own, pool, rng),
            "r_precision_shuffled": r_precision(judge, real.roll(1, 0), own, pool, rng),
            **accuracies(judge, real, [attributes_from(data.attributes[w]) for w in worlds]),
        },
        "training": read_json(args.teacher / "training.json"),
    }  # fmt: skip
    write_json(args.teacher / "teacher_card.json", card)
    prompts = [prompt for prompt in PROMPTS for _ in range(8)]
    write_image(args.teacher / "samples.png", sheet(draw(pipeline, prompts, settings), 8))
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
