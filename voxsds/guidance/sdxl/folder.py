"""A folder in the diffusers SDXL layout: which of its files are read, and what the small ones say."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.files.disk import read_json
from voxsds.guidance.hub import is_pinned, locate
from voxsds.guidance.sdxl.settings import SdxlModel

_TEXT_PARTS = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")
VAE_PATTERNS = ("config.json", "diffusion_pytorch_model.safetensors")  # of a folder of an autoencoder alone


def pipeline_patterns(variant: str | None, with_unet: bool, with_vae: bool) -> list[str]:
    """The files of a pipeline folder that are read."""
    parts = [*_TEXT_PARTS, *["unet"] * with_unet, *["vae"] * with_vae]
    suffix = f".{variant}" if variant else ""
    weights = [f"{part}/*model{suffix}{shard}.safetensors" for part in parts for shard in ("", "-*")]
    return ["*.json", "*.txt", *weights]


@dataclass(frozen=True)
class PipelineFolder:
    """A folder in the diffusers SDXL layout, with all files that will be read from it."""

    path: Path
    source: str
    variant: str | None

    @classmethod
    def open(
        cls, source: str, variant: str | None, with_unet: bool, with_vae: bool, local_files_only: bool
    ) -> "PipelineFolder":
        """Finds or downloads the folder; ValueError that lists what is missing."""
        patterns = pipeline_patterns(variant, with_unet, with_vae)
        folder = cls(locate(source, patterns, local_files_only), source, variant)
        missing = [file for file in folder._needed(with_unet, with_vae) if not (folder.path / file).is_file()]
        if missing:
            raise ValueError(
                f"{folder.path} is not a complete SDXL pipeline folder; missing: {', '.join(missing)}. "
                "Weights are read from .safetensors only. Get the folder with `hf download owner/name "
                "--revision <commit> --local-dir <folder>`, or this repository's own with `git checkout -- "
                "<folder>`."
            )
        kind = folder.index()["_class_name"]
        if not kind.startswith("StableDiffusionXL"):
            raise ValueError(f"{folder.path} holds a {kind}; a StableDiffusionXLPipeline is needed")
        return folder

    def _needed(self, with_unet: bool, with_vae: bool) -> list[str]:
        files = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json"]
        for part in _TEXT_PARTS[:2]:
            old = (self.path / part / "vocab.json").is_file()
            files += [f"{part}/vocab.json", f"{part}/merges.txt"] if old else [f"{part}/tokenizer.json"]
        for part in _TEXT_PARTS[2:]:
            files += [f"{part}/config.json", *self._weights(part, "model")]
        if with_unet:
            files += self._weights("unet", "diffusion_pytorch_model")
        if with_vae:
            files += ["vae/config.json", *self._weights("vae", "diffusion_pytorch_model")]
        return files

    def _weights(self, part: str, stem: str) -> list[str]:
        """The weight file of a part, or its shards."""
        suffix = f".{self.variant}" if self.variant else ""
        index = self.path / part / f"{stem}.safetensors.index{suffix}.json"
        if not index.is_file():
            return [f"{part}/{stem}{suffix}.safetensors"]
        return [f"{part}/{name}" for name in sorted(set(read_json(index)["weight_map"].values()))]

    def weights(self, part: str, stem: str) -> list[Path]:
        """Files of the weights of a part: one, or its shards."""
        return [self.path / name for name in self._weights(part, stem)]

    def index(self) -> dict:
        """model_index.json."""
        return read_json(self.path / "model_index.json")

    def scheduler(self) -> dict:
        """scheduler/scheduler_config.json."""
        return read_json(self.path / "scheduler" / "scheduler_config.json")

    def latent_range(self) -> Float[Tensor, "channels 2"] | None:
        """latent_range.json, {"low": [...], "high": [...]} with one number a channel; None without it."""
        file = self.path / "latent_range.json"
        if not file.is_file():
            return None
        stored = read_json(file)
        return torch.tensor([stored["low"], stored["high"]], dtype=torch.float32).T.contiguous()

    def knows_camera(self) -> bool:
        """Whether the denoiser was taught from where a view looks (viewpoint.py): camera.json is there."""
        return (self.path / "camera.json").is_file()

    def vocabulary(self) -> frozenset[str] | None:
        """words.txt, the words that the model was taught, one a line; None without it."""
        file = self.path / "words.txt"
        return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else None

    def text_fingerprint(self) -> str:
        """Changes whenever a prompt would be encoded otherwise: the pin, or a hash of the files read."""
        if is_pinned(self.source):
            return f"{self.source} {self.variant}"
        digest = hashlib.sha256()
        for part in _TEXT_PARTS:
            for file in sorted((self.path / part).iterdir()):
                with file.open("rb") as stream:
                    digest.update(f"{part}/{file.name}".encode())
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"{digest.hexdigest()} {self.variant}"


def open_folder(model: SdxlModel, local_files_only: bool | None = None) -> PipelineFolder:
    """The folder of `model`, with all that is read from it; ValueError that lists what is missing."""
    only = model.local_files_only if local_files_only is None else local_files_only
    return PipelineFolder.open(model.folder, model.variant, model.unet is None, model.vae is None, only)
