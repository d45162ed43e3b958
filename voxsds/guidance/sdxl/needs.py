"""Needs of an SDXL teacher: its files, those that are here, and its memory."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from voxsds.files.disk import read_json
from voxsds.guidance.hub import BYTES, Source, locate, looked_up, parameters
from voxsds.guidance.sdxl.folder import VAE_PATTERNS, PipelineFolder, open_folder, pipeline_patterns
from voxsds.guidance.sdxl.settings import SdxlModel
from voxsds.guidance.teacher import Needs


def needs(model: SdxlModel, ask_hub: bool) -> Needs:
    """Sources and memory of an SDXL teacher; `ask_hub` asks the Hub for the sizes of what is not here."""
    sources = tuple(_source(role, name, model, ask_hub) for role, name in _named(model))
    if any(source.problem for source in sources):
        return Needs(sources, None, None, None)
    return _with_memory(sources, model)


def _named(model: SdxlModel) -> list[tuple[str, str]]:
    sources = [(role, getattr(model, role)) for role in ("folder", "unet", "lora", "vae")]
    return [(role, name) for role, name in sources if name is not None]


def _source(role: str, name: str, model: SdxlModel, ask_hub: bool) -> Source:
    find = partial(_local, role, name, model)
    return looked_up(role, name, find, _patterns(role, model), model.local_files_only, ask_hub)


def _local(role: str, name: str, model: SdxlModel) -> Path:
    """Path of a source, without asking the Hub; ValueError where it is not whole."""
    if role == "folder":
        return open_folder(model, local_files_only=True).path
    return locate(name, list(_patterns(role, model)), local_files_only=True)


def _patterns(role: str, model: SdxlModel) -> Sequence[str]:
    """The files of a source that are read; for a single file, none."""
    if role == "folder":
        return pipeline_patterns(model.variant, model.unet is None, model.vae is None)
    return VAE_PATTERNS if role == "vae" else ()


def _with_memory(sources: tuple[Source, ...], model: SdxlModel) -> Needs:
    """Numbers of the weights, from the headers of the files that will be read."""
    places = {source.role: _local(source.role, source.name, model) for source in sources}
    folder = PipelineFolder(places["folder"], model.folder, model.variant)
    unet = [places["unet"]] if "unet" in places else folder.weights("unet", "diffusion_pytorch_model")
    if "vae" in places:
        vae = [places["vae"] / VAE_PATTERNS[1]]
    else:
        vae = folder.weights("vae", "diffusion_pytorch_model")
    texts = folder.weights("text_encoder", "model") + folder.weights("text_encoder_2", "model")
    vae_bytes = parameters(vae) * BYTES[model.vae_dtype]
    return Needs(
        sources,
        weights=parameters(unet) * BYTES[model.dtype] + vae_bytes,
        pixel=pixel_bytes(vae[0].parent / "config.json", folder.path / "unet" / "config.json", model),
        loading=parameters(texts) * 4 + vae_bytes,
    )


def pixel_bytes(vae: Path, unet: Path, model: SdxlModel) -> int:
    """Bytes of one pixel of a view in a step: kept of the encoder for its backward, and used by the UNet.

    A residual block keeps six tensors of its width, going down one more, the middle some 23. The UNet, asked
    twice without gradient, is widest at 14 tensors of its first width, for each latent.
    """
    widths, layers = (read_json(vae)[key] for key in ("block_out_channels", "layers_per_block"))
    share = [1 / 4**level for level in range(len(widths))]  # of the pixels, on each level
    kept = sum(6 * layers * width * part for width, part in zip(widths, share, strict=True))
    kept += sum(width * part for width, part in zip(widths[:-1], share, strict=False))
    kept += 23 * widths[-1] * share[-1]
    asked = 2 * 14 * read_json(unet)["block_out_channels"][0] * share[-1]
    return round(kept * BYTES[model.vae_dtype] + asked * BYTES[model.dtype])
