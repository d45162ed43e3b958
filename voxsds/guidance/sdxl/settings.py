"""Files of an SDXL teacher, and the types of its networks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SdxlModel:
    """Section `model` of a teacher of kind sdxl in params.yaml.

    A source is a local path, or on the Hub `owner/name@<commit>` (`owner/name/file@<commit>` for a
    file), the commit in full: a branch may change under a run.
    """

    kind: Literal["sdxl"]
    folder: str  # source of a pipeline folder in the diffusers SDXL layout
    unet: str | None  # source of an SDXL-Lightning UNet checkpoint (.safetensors) to use in its stead
    lora: str | None  # source of a LoRA (.safetensors) to add to the UNet's weights
    vae: str | None  # source of an AutoencoderKL or AutoencoderTiny folder to use in the folder's stead
    variant: str | None  # "fp16": read the weight files of that name, half the download
    local_files_only: bool  # never ask the Hub
    dtype: Literal["float32", "bfloat16", "float16"]  # of the UNet
    vae_dtype: Literal["float32", "bfloat16"]  # float16 overflows in SDXL's autoencoder
    low_memory: bool  # a view at a time, and the encoder's blocks again in the backward: for 12 GB
