"""What a teacher needs before it can teach: which files, how many bytes of them are here, how much memory.

Nothing is downloaded, and no weight is read: sizes come from the headers of the files, or of those that are
not here from the Hub, if it may be asked.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import filter_repo_objects

from voxsds.files.disk import read_json
from voxsds.guidance.sdxl.folder import PINNED, PipelineFolder, is_pinned, locate, pipeline_patterns
from voxsds.guidance.teacher import TeacherSettings

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
VAE_PATTERNS = ("config.json", "diffusion_pytorch_model.safetensors")


@dataclass(frozen=True)
class Source:
    """One of the things that a teacher is put together from."""

    role: str  # model, unet, lora, vae
    name: str  # as in params.yaml
    problem: str | None  # why it cannot be used as it is; None: it is here and whole
    download: int | None  # bytes to get from the Hub; None where it is here or was not asked for


@dataclass(frozen=True)
class Needs:
    """All sources of a teacher, and the memory that its weights take where they are here."""

    sources: tuple[Source, ...]
    weights: int | None  # bytes while it teaches: UNet and autoencoder
    pixel: int | None  # bytes for each pixel of each view on top of that, see `pixel_bytes`
    loading: int | None  # bytes while prompts are encoded: autoencoder and text encoders in float32

    @property
    def ready(self) -> bool:
        return all(source.problem is None for source in self.sources)


def needs_of(settings: TeacherSettings, ask_hub: bool = False) -> Needs:
    """What the teacher of `settings` needs; `ask_hub` asks it for the sizes of what is not here."""
    if settings.kind == "oracle":
        there = Path(settings.model).is_file()
        problem = None if there else f"{settings.model}: there is no such map; name one"
        return Needs((Source("model", settings.model, problem, None),), 0, 0, 0)
    sources = tuple(_source(role, name, settings, ask_hub) for role, name in _named(settings))
    if any(source.problem for source in sources):
        return Needs(sources, None, None, None)
    return _with_memory(sources, settings)


def _named(settings: TeacherSettings) -> list[tuple[str, str]]:
    sources = [(role, getattr(settings, role)) for role in ("model", "unet", "lora", "vae")]
    return [(role, name) for role, name in sources if name is not None]


def _source(role: str, name: str, settings: TeacherSettings, ask_hub: bool) -> Source:
    try:
        _local(role, name, settings)
        return Source(role, name, None, None)
    except ValueError as error:
        if not is_pinned(name):
            return Source(role, name, str(error), None)
    remedy = "the first run downloads it"
    if settings.local_files_only:
        remedy = f"set local_files_only: false, and {remedy}"
    problem = f"not in the Hub's cache on this machine; {remedy}"
    if not ask_hub:
        return Source(role, name, problem, None)
    try:
        return Source(role, name, problem, download_size(name, _patterns(role, settings)))
    except Exception as error:  # networks fail in more ways than the Hub's library has names for
        return Source(role, name, f"{problem}. The Hub could not be asked for its size ({error})", None)


def _local(role: str, name: str, settings: TeacherSettings) -> Path:
    """Where it lies, without asking the Hub; ValueError where it is not whole."""
    if role == "model":
        own_unet, own_vae = settings.unet is None, settings.vae is None
        return PipelineFolder.open(name, settings.variant, own_unet, own_vae, local_files_only=True).path
    return locate(name, list(_patterns(role, settings)), local_files_only=True)


def _patterns(role: str, settings: TeacherSettings) -> Sequence[str]:
    """The files of a source that are read; for a single file, none."""
    if role == "model":
        return pipeline_patterns(settings.variant, settings.unet is None, settings.vae is None)
    return VAE_PATTERNS if role == "vae" else ()


def download_size(source: str, patterns: Sequence[str]) -> int:
    """Bytes of the files of a pinned source on the Hub, which is asked; its errors pass through."""
    match = PINNED.fullmatch(source)
    assert match is not None
    info = huggingface_hub.HfApi().model_info(
        match["repo"], revision=match["commit"], files_metadata=True, timeout=20
    )
    wanted = [match["file"]] if match["file"] else list(patterns)
    files = filter_repo_objects(info.siblings or [], allow_patterns=wanted, key=lambda file: file.rfilename)
    return sum(file.size or 0 for file in files)


def _with_memory(sources: tuple[Source, ...], settings: TeacherSettings) -> Needs:
    """Numbers of the weights, from the headers of the files that will be read."""
    places = {source.role: _local(source.role, source.name, settings) for source in sources}
    folder = PipelineFolder(places["model"], settings.model, settings.variant)
    unet = [places["unet"]] if "unet" in places else folder.weights("unet", "diffusion_pytorch_model")
    if "vae" in places:
        vae = [places["vae"] / VAE_PATTERNS[1]]
    else:
        vae = folder.weights("vae", "diffusion_pytorch_model")
    texts = folder.weights("text_encoder", "model") + folder.weights("text_encoder_2", "model")
    vae_bytes = parameters(vae) * BYTES[settings.vae_dtype]
    return Needs(
        sources,
        weights=parameters(unet) * BYTES[settings.dtype] + vae_bytes,
        pixel=pixel_bytes(vae[0].parent / "config.json", folder.path / "unet" / "config.json", settings),
        loading=parameters(texts) * 4 + vae_bytes,
    )


def pixel_bytes(vae: Path, unet: Path, settings: TeacherSettings) -> int:
    """What one pixel of a view takes in a step: kept of the encoder for its backward, and used by the UNet.

    A residual block keeps six tensors of its width, going down one more, the middle some 23. The UNet, asked
    twice without gradient, is widest at 14 tensors of its first width, for each latent.
    """
    widths, layers = (read_json(vae)[key] for key in ("block_out_channels", "layers_per_block"))
    share = [1 / 4**level for level in range(len(widths))]  # of the pixels, on each level
    kept = sum(6 * layers * width * part for width, part in zip(widths, share, strict=True))
    kept += sum(width * part for width, part in zip(widths[:-1], share, strict=False))
    kept += 23 * widths[-1] * share[-1]
    asked = 2 * 14 * read_json(unet)["block_out_channels"][0] * share[-1]
    return round(kept * BYTES[settings.vae_dtype] + asked * BYTES[settings.dtype])


def parameters(files: Sequence[Path]) -> int:
    """How many numbers there are in .safetensors files; only their headers are read."""
    return sum(math.prod(shape) for file in files for shape in _shapes(file))


def _shapes(file: Path) -> list[list[int]]:
    """The header is its length, 8 bytes, and then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, 100 << 20)))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
