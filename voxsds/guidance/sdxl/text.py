"""Prompts as SDXL reads them, encoded once and kept on disk."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging

from voxsds.files.disk import atomic_path
from voxsds.guidance.sdxl.folder import PipelineFolder
from voxsds.guidance.sdxl.viewpoint import size_ids
from voxsds.guidance.weights import require_all

logging.disable_progress_bar()  # of files that take milliseconds


@dataclass(frozen=True, eq=False)
class PromptEmbedding:
    """One text as SDXL's UNet takes it."""

    context: Float[Tensor, "tokens features"]  # penultimate hidden states of both encoders, side by side
    pooled: Float[Tensor, " pooled"]  # projected end token of the second encoder

    def zeros(self) -> "PromptEmbedding":
        """SDXL's stand-in for no text at all, where the pipeline forces zeros."""
        return PromptEmbedding(torch.zeros_like(self.context), torch.zeros_like(self.pooled))


def embed_prompts(
    folder: PipelineFolder, prompts: Sequence[str], cache: Path, device: str
) -> list[PromptEmbedding]:
    """Embeddings of `prompts`, on the CPU; the encoders are loaded only for those not in `cache`.

    An entry of the cache belongs to one text and one pair of encoders and tokenizers; one that
    cannot be read is written again.
    """
    fingerprint = folder.text_fingerprint()
    files = {prompt: cache / f"{_key(prompt, fingerprint)}.safetensors" for prompt in prompts}
    found = {prompt: _read(file) for prompt, file in files.items()}
    missing = [prompt for prompt, embedding in found.items() if embedding is None]
    for prompt, embedding in zip(missing, encode_prompts(folder, missing, device), strict=True):
        with atomic_path(files[prompt]) as temporary:
            tensors = {"context": embedding.context.contiguous(), "pooled": embedding.pooled.contiguous()}
            save_file(tensors, temporary, {"sha256": _checksum(embedding)})
        found[prompt] = embedding
    return [embedding for prompt in prompts if (embedding := found[prompt]) is not None]


def _key(prompt: str, fingerprint: str) -> str:
    return hashlib.sha256(f"{fingerprint}\n{prompt}".encode()).hexdigest()[:32]


def _read(file: Path) -> PromptEmbedding | None:
    """A kept embedding; None where there is none that is whole."""
    try:
        with safe_open(file, framework="pt") as stored:
            embedding = PromptEmbedding(stored.get_tensor("context"), stored.get_tensor("pooled"))
            checksum = (stored.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return embedding if checksum == _checksum(embedding) else None


def _checksum(embedding: PromptEmbedding) -> str:
    numbers = torch.cat([embedding.context.flatten(), embedding.pooled])
    return hashlib.sha256(numbers.numpy().tobytes()).hexdigest()


@torch.no_grad()
def encode_prompts(folder: PipelineFolder, prompts: Sequence[str], device: str) -> list[PromptEmbedding]:
    """The embeddings of `prompts` in float32; the encoders are gone when this returns.

    One at a time, so that a text has the same embedding, to the last bit, whatever is encoded with it.
    """
    if not prompts:
        return []
    contexts, pooled = [], []
    for suffix, encoder in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        tokenizer = CLIPTokenizer.from_pretrained(folder.path / f"tokenizer{suffix}", local_files_only=True)
        path = folder.path / f"text_encoder{suffix}"
        loaded: Any = encoder.from_pretrained(
            path,
            use_safetensors=True,
            variant=folder.variant,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        model, found = loaded
        require_all(path, missing=found["missing_keys"])  # old files hold position ids too, which are unused
        model.to(device).eval()
        outputs = [model(_token_ids(tokenizer, p).to(device), output_hidden_states=True) for p in prompts]
        contexts.append([output.hidden_states[-2][0].cpu() for output in outputs])
        pooled = [output[0][0].cpu() for output in outputs]  # of the second: its text_embeds
        del model, loaded, outputs
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return [PromptEmbedding(torch.cat(both, -1), p) for *both, p in zip(*contexts, pooled, strict=True)]


def _token_ids(tokenizer: CLIPTokenizer, prompt: str) -> Int[Tensor, "1 tokens"]:
    """Ids padded to the encoder's length; warns of words that do not fit."""
    limit = tokenizer.model_max_length
    length = len(tokenizer(prompt).input_ids)
    if length > limit:
        warnings.warn(
            f"prompt {prompt!r} is {length} tokens long; the text encoder reads the first {limit}",
            stacklevel=2,
        )
    padded = tokenizer(prompt, padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
    return padded.input_ids


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Inputs of the UNet beside latents and timestep: in row 1 of the prompt, in row 0 of its opposite."""

    context: Float[Tensor, "2 tokens features"]
    pooled: Float[Tensor, "2 pooled"]
    time_ids: Float[Tensor, "2 6"]  # original size, crop, target size: heights before widths, pixels

    def batch(
        self,
        views: int,
        dtype: torch.dtype,
        first: int = 0,
        time_ids: Float[Tensor, "views 6"] | None = None,  # of each view; None: the sizes for all
    ) -> list[Tensor]:
        """Context, pooled and time ids of `views` views against the prompt, then of as many towards it.

        With `first` 1 of the latter alone.
        """
        tables = self.context, self.pooled, self.time_ids
        rows = (table[first:].to(dtype) for table in tables)
        context, pooled, sizes = (
            row[:, None].expand(-1, views, *row.shape[1:]).flatten(0, 1) for row in rows
        )
        return [context, pooled, sizes if time_ids is None else time_ids.to(dtype).repeat(2 - first, 1)]


def encode_conditioning(
    folder: PipelineFolder, text: str, against: str | None, native: int, cache: Path, device: str
) -> Conditioning:
    """Conditioning as StableDiffusionXLPipeline has it: no negative prompt is zeros where model_index.json
    forces them (its default), else the embedding of "". Sizes are the model's native one whatever is
    rendered: a smaller number asks SDXL for a thumbnail.
    """
    zeros = against is None and forces_zeros(folder)
    texts = [text] if zeros else [text, against or ""]
    conditional, *others = embed_prompts(folder, texts, cache, device)
    unconditional = others[0] if others else conditional.zeros()
    pair = unconditional, conditional
    return Conditioning(
        context=torch.stack([embedding.context for embedding in pair]).to(device),
        pooled=torch.stack([embedding.pooled for embedding in pair]).to(device),
        time_ids=size_ids(native).repeat(2, 1).to(device),
    )


def forces_zeros(folder: PipelineFolder) -> bool:
    """Whether zeros stand for no text at all, rather than the embedding of an empty one."""
    return folder.index().get("force_zeros_for_empty_prompt", True)
