"""A pipeline folder in the diffusers SDXL layout with random weights: all its parts, a second to make.

The layout is that of the tiny teacher (UNet with text_time conditioning, two text encoders, f = 4
autoencoder), a few channels wide. Nothing here knows voxsds, so it can be held against voxsds.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
CAPTIONS = ("a stone tower on snowy hills", "a wooden house on a grassy plain", "a sandy island in the water")


def byte_level_vocabulary() -> dict[str, int]:
    """The tokens that spell any text: start 0, end 1, 256 bytes, and 256 bytes that end a word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {t: i for i, t in enumerate([START, END, *letters, *(c + WORD_END for c in letters)])}


def clip_tokenizer(corpus: Iterable[str], merges: int, max_length: int) -> CLIPTokenizer:
    """A byte-level CLIP tokenizer with up to `merges` merges learned from the words of `corpus`."""
    vocabulary = byte_level_vocabulary()
    learner = CLIPTokenizer(vocab=vocabulary, merges=[]).backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=len(vocabulary) + merges,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(corpus, trainer)
    learned = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]][:merges]
    for left, right in learned:
        vocabulary.setdefault(left + right, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=learned, model_max_length=max_length)


def text_config(tokenizer: CLIPTokenizer, hidden: int, layers: int, projection: int) -> CLIPTextConfig:
    """Sizes of one text encoder. The ids must be given: CLIP's defaults are those of its own tokens."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=projection,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def tiny_unet(channels: tuple[int, int, int], context: int, pooled: int, sample_size: int):
    """A UNet with SDXL's conditioning: text context, pooled text and six time ids of 8 features."""
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=4,
        out_channels=4,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(2, 4, 4),
        cross_attention_dim=context,
        use_linear_projection=True,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=pooled + 6 * 8,
    )


def tiny_vae(channels: tuple[int, int, int], scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=scaling_factor,
        force_upcast=False,
    )


def tiny_pipeline(seed: int = 0, zeros_for_empty_prompt: bool = False) -> StableDiffusionXLPipeline:
    """Random weights: 32 x 32 images, 8 x 8 x 4 latents, context 64, pooled 24, scaling factor 0.7."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(CAPTIONS, merges=64, max_length=16)
    return StableDiffusionXLPipeline(
        vae=tiny_vae((8, 16, 16), scaling_factor=0.7),
        text_encoder=CLIPTextModel(text_config(tokenizer, hidden=32, layers=3, projection=32)),
        text_encoder_2=CLIPTextModelWithProjection(
            text_config(tokenizer, hidden=32, layers=2, projection=24)
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=tiny_unet((16, 16, 32), context=64, pooled=24, sample_size=8),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        force_zeros_for_empty_prompt=zeros_for_empty_prompt,
        add_watermarker=False,
    )


def save_tiny_pipeline(folder: Path, seed: int = 0, zeros_for_empty_prompt: bool = False) -> Path:
    """Writes such a pipeline under `folder` and returns it."""
    tiny_pipeline(seed, zeros_for_empty_prompt).save_pretrained(folder)
    return folder
