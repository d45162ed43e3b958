"""What tests of teachers need: plain settings, a prompt, a way to damage a folder."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.load import TeacherSettings
from voxsds.guidance.sdxl.settings import SdxlModel

PROMPT = "a stone tower on snowy hills"
MODEL = SdxlModel(
    kind="sdxl",
    folder="models/tiny",
    unet=None,
    lora=None,
    vae=None,
    variant=None,
    local_files_only=True,
    dtype="float32",
    vae_dtype="float32",
    low_memory=False,
)
ASK = AskSettings(
    method="sds",
    negative_prompt=None,
    resolution=32,
    guidance_scale=5.0,
    guidance_end=None,
    guidance_rescale=0.0,
    weight="as",
    t_min=(0.02, 0.02),
    t_max=(0.98, 0.5),
    timesteps=None,
    clamp=False,
    pixel_clip=None,
)


def teacher_settings(folder: Path | str, **changes: Any) -> TeacherSettings:
    """Those for the folder of `save_tiny_pipeline` in float32, without network and clamp, with `changes`."""
    return changed(TeacherSettings(replace(MODEL, folder=str(folder)), ASK), **changes)


def changed(settings: TeacherSettings, **changes: Any) -> TeacherSettings:
    """The same with other values of these keys, of what to load and how to ask alike."""
    asked = {
        name: changes.pop(name) for name in {field.name for field in fields(AskSettings)} & changes.keys()
    }
    return TeacherSettings(replace(settings.model, **changes), replace(settings.ask, **asked))


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
