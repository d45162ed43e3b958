"""SDXL-Lightning checkpoints, by ByteDance's file names, and how they may be asked.

Their networks were distilled to a few steps: they were trained at those timesteps alone, with
guidance already in them (arXiv 2402.13929).
"""

import re
import warnings

from voxsds.guidance.sampling import trailing_timesteps

_NAME = re.compile(r"sdxl_lightning_(?P<steps>\d+)step_(?P<form>unet|lora)(?P<x0>_x0)?\.safetensors")


def own_timesteps(checkpoint: str) -> tuple[int, ...] | None:
    """The timesteps that a checkpoint of this name was trained at; None for any other name.

    sdxl_lightning_4step_unet.safetensors: 249, 499, 749, 999.
    """
    match = _NAME.search(checkpoint)
    return match and tuple(sorted(trailing_timesteps(int(match["steps"])).tolist()))


def check_checkpoint(
    checkpoint: str, form: str, timesteps: tuple[int, ...] | None, guidance_scale: float
) -> None:
    """ValueError where a Lightning checkpoint cannot be asked as set; a warning where it should not.

    `form` is what it is given as, unet or lora.
    """
    match, own = _NAME.search(checkpoint), own_timesteps(checkpoint)
    if match is None or own is None:
        return
    if match["x0"]:
        raise ValueError(
            f"{checkpoint}: the 1-step network predicts images instead of noise and cannot be used; take "
            "sdxl_lightning_2step_unet, _4step_unet or _8step_unet.safetensors"
        )
    if match["form"] != form:
        raise ValueError(
            f"{checkpoint} is given as `{form}` but holds a {match['form']}: set `{match['form']}` to it"
        )
    if not timesteps or not set(own).issuperset(timesteps):
        raise ValueError(
            f"{checkpoint} was trained at timesteps {list(own)} only: set timesteps to some of them (the "
            "largest is almost pure noise and says little)"
        )
    if guidance_scale > 1.5:
        warnings.warn(
            f"{checkpoint} has guidance in it already; guidance_scale {guidance_scale} guides twice, 1.0 "
            "leaves it as it is",
            stacklevel=2,
        )
