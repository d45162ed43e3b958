"""What tests of teachers need: plain settings, a prompt, a way to damage a folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxsds.guidance.teacher import TeacherSettings

PROMPT = "a stone tower on snowy hills"


def teacher_settings(model: Path | str, **changes: Any) -> TeacherSettings:
    """Those for the folder of `save_tiny_pipeline` in float32, without network and clamp, with `changes`."""
    plain = TeacherSettings(
        kind="sdxl",
        model=str(model),
        unet=None,
        lora=None,
        vae=None,
        variant=None,
        local_files_only=True,
        method="sds",
        negative_prompt=None,
        source_prompt=None,
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
        dtype="float32",
        vae_dtype="float32",
        low_memory=False,
    )
    return replace(plain, **changes)


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
