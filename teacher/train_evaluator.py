"""The evaluator: a small CLIP model that has never seen the teacher, its worlds or its wordings.

    python -m teacher.train_evaluator --data teacher/data/evaluator --out models/evaluator

Contrastive training in transformers' CLIPModel format, so that OpenAI's CLIP can take its place.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from teacher.data import CaptionedRenders, load_renders, to_unit, token_table
from teacher.optimization import Descent, Fit, start_processes, training_arguments
from teacher.tokenizer import train_tokenizer
from voxsds.files.params import read_params, read_section


@dataclass(frozen=True)
class EvaluatorSettings:
    patch: int  # pixels
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    projection: int
    vocabulary: int
    tokens: int
    batch: int
    lr: float
    weight_decay: float
    average: float
    seconds: float
    seed: int


def new_evaluator(settings: EvaluatorSettings, tokenizer: CLIPTokenizer, resolution: int) -> CLIPModel:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": settings.text_width,
        "intermediate_size": 4 * settings.text_width,
        "num_hidden_layers": settings.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": settings.tokens,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": settings.vision_width,
        "intermediate_size": 4 * settings.vision_width,
        "num_hidden_layers": settings.vision_layers,
        "num_attention_heads": settings.vision_width // 32,
        "image_size": resolution,
        "patch_size": settings.patch,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=settings.projection))


def augmented(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Random crop, brightness, tint, blur and grain: no score for texture that a renderer would not keep."""
    b, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, device=device)

    zoom = uniform(0.8, 1.0)
    transform = torch.zeros(b, 2, 3, device=device)
    transform[:, 0, 0] = transform[:, 1, 1] = zoom
    transform[:, :, 2] = uniform(-1, 1, 2) * (1 - zoom)[:, None]
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False, padding_mode="reflection")
    images = images * uniform(0.9, 1.1, 1, 1, 1) + uniform(-0.06, 0.06, 3, 1, 1)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.lerp(images, blurred, uniform(0, 1, 1, 1, 1) * (uniform(0, 1, 1, 1, 1) < 0.5))
    return images + 0.03 * uniform(0, 1, 1, 1, 1) * torch.randn_like(images)


def contrastive_loss(
    image: Float[Tensor, "b d"],
    text: Float[Tensor, "b d"],
    scale: Float[Tensor, ""],
    meaning: Int[Tensor, " b"],
) -> Float[Tensor, ""]:
    """InfoNCE both ways; pairs whose canonical captions are the same are all positives."""
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    same = (meaning[:, None] == meaning[None]).float()
    target = same / same.sum(-1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def meanings(canonical: list[str]) -> Int[Tensor, " worlds"]:
    """Numbers of the canonical captions: equal ones have equal numbers."""
    numbers = {caption: i for i, caption in enumerate(dict.fromkeys(canonical))}
    return torch.tensor([numbers[caption] for caption in canonical])


def features(model: CLIPModel, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    out = model(input_ids=ids, pixel_values=images)
    return out.image_embeds, out.text_embeds


@torch.no_grad()
def retrieval(model: CLIPModel, data: CaptionedRenders, canonical_ids: Tensor, device: torch.device) -> float:
    """R-precision of held-out renders: share whose own canonical caption wins among 100 different ones."""
    generator = torch.Generator().manual_seed(0)
    wins = 0
    chosen = data.test_images[torch.randperm(len(data.test_images), generator=generator)[:512]]
    by_caption = {caption: world for world, caption in enumerate(data.canonical)}
    unique = torch.tensor(list(by_caption.values()))
    texts = torch.cat(
        [model.get_text_features(canonical_ids[part].to(device)).pooler_output for part in unique.split(512)]
    )
    images = torch.cat(
        [
            model.get_image_features(to_unit(data.images[part]).to(device)).pooler_output
            for part in chosen.split(64)
        ]
    )
    scores = (F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T).cpu()
    own = [list(by_caption).index(data.canonical[image // data.views]) for image in chosen.tolist()]
    for row, mine in zip(scores, own, strict=True):
        others = torch.randperm(len(unique), generator=generator)
        others = others[others != mine][:99]
        wins += bool((row[mine] > row[others]).all())
    return wins / len(chosen)


def main() -> None:
    args = training_arguments(__doc__)
    settings = read_section(read_params(args.params), "evaluator", EvaluatorSettings, where=str(args.params))
    _, _, device = start_processes()
    torch.manual_seed(settings.seed)
    data = load_renders(args.data)
    wordings = [[*captions, caption] for captions, caption in zip(data.captions, data.canonical, strict=True)]
    tokenizer = train_tokenizer((w for ws in wordings for w in ws), settings.vocabulary, settings.tokens)
    ids = token_table(tokenizer, wordings).to(device)
    meaning = meanings(data.canonical).to(device)
    images, train = data.images.to(device), data.train_images.to(device)

    model = new_evaluator(settings, tokenizer, data.images.shape[-1]).to(device)

    def loss_of(pixels: Tensor, tokens: Tensor, meaning: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            image, text = features(model, augmented(to_unit(pixels)), tokens)
        scale = model.logit_scale.clamp(max=4.6).exp()
        return contrastive_loss(image.float(), text.float(), scale, meaning)

    how = Descent(settings.lr, settings.weight_decay, (0.9, 0.98), 500, settings.average, settings.seconds)
    fit = Fit(loss_of, model.parameters(), how)
    while not fit.is_done:
        chosen = train[torch.randint(len(train), (settings.batch,), device=device)]
        worlds = chosen // data.views
        tokens = ids[worlds, torch.randint(ids.shape[1], (settings.batch,), device=device)]
        fit.report("evaluator", fit.advance(images[chosen], tokens, meaning[worlds]))
    fit.averaged.copy_to(fit.parameters)
    model.eval()
    precision = retrieval(model, data, ids[:, -1], device)
    model.to("cpu", torch.float16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    size = data.images.shape[-1]
    CLIPImageProcessor(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size},
        image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5],
    ).save_pretrained(args.out)  # fmt: skip
    print(
        f"evaluator: {fit.step} steps in {fit.seconds:.0f} s; held-out R-precision among 100: {precision:.3f}"
    )


if __name__ == "__main__":
    main()
