"""Plain blocks as small files: of a run at single steps, logs/worlds/step_0050.npz, and of an export."""

import io
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Integer

Blocks = Integer[np.ndarray, "X Y Z"]  # material ids, 0 = air


def packed(blocks: Blocks) -> bytes:
    """An .npz file of `blocks`, a byte a block before compression; equal blocks, equal bytes.

    A hill of 32 x 24 x 32 takes 1 kB.
    """
    file = io.BytesIO()
    np.savez_compressed(
        file, blocks=np.ascontiguousarray(blocks, np.min_scalar_type(int(blocks.max(initial=0))))
    )
    return file.getvalue()


def read_blocks(path: Path, stage: str) -> Blocks:
    """The blocks in a file of `packed`; ValueError naming the `stage` that writes it where it is broken."""
    try:
        with np.load(path) as file:
            return file["blocks"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: holds no blocks ({error}); run the stage {stage} again") from error


def read_worlds(folder: Path) -> dict[int, Blocks]:
    """The blocks in `folder` by step; ValueError where there are none or a file is broken."""
    paths = {int(path.stem.removeprefix("step_")): path for path in folder.glob("step_*.npz")}
    if not paths:
        raise ValueError(f"{folder}: no step_*.npz; run the stage train again")
    return {step: read_blocks(paths[step], "train") for step in sorted(paths)}
