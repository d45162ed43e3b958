"""The family of SDXL, as `load.py` asks every family."""

from collections.abc import Sequence
from pathlib import Path

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.sdxl.folder import open_folder
from voxsds.guidance.sdxl.needs import needs as needs
from voxsds.guidance.sdxl.settings import SdxlModel
from voxsds.guidance.teacher import Teacher


def load(model: SdxlModel, ask: AskSettings, cache: Path, device: str, texts: Sequence[str]) -> Teacher:
    """The teacher with its networks; `texts` are encoded before those are read, see SdxlTeacher.load."""
    from voxsds.guidance.sdxl.teacher import SdxlTeacher  # and diffusers, which takes seconds

    return SdxlTeacher.load(model, ask, cache, device, texts)


def inputs(model: SdxlModel) -> list[Path]:
    """Files and folders on this machine; what is on the Hub is named by its commit."""
    sources = (model.folder, model.unet, model.lora, model.vae)
    return [Path(source) for source in sources if source is not None and Path(source).exists()]


def vocabulary(model: SdxlModel) -> frozenset[str] | None:
    """The words of the folder; ValueError where the model is not here."""
    return open_folder(model, local_files_only=True).vocabulary()
