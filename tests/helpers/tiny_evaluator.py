"""A CLIPModel folder with random weights: all its parts, a fraction of a second to make."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from tests.helpers.tiny_pipeline import CAPTIONS, clip_tokenizer

TEXT_LENGTH = 16  # tokens


def save_tiny_evaluator(folder: Path, side: int = 32, seed: int = 0) -> Path:
    """Writes an evaluator that takes `side` x `side` images under `folder` and returns it."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(CAPTIONS, merges=64, max_length=TEXT_LENGTH)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": TEXT_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": side,
        "patch_size": 8,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor(side).save_pretrained(folder)
    return folder


def processor(side: int) -> CLIPImageProcessorPil:
    """Resize the shortest side, crop the middle, normalise: what OpenAI's CLIP does, smaller."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.48, 0.46, 0.41],
        image_std=[0.27, 0.26, 0.28],
    )
