"""The blocks of a run at single steps, as small files: logs/worlds/step_0050.npz."""

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


def read_worlds(folder: Path) -> dict[int, Blocks]:
    """The blocks in `folder` by step; ValueError where there are none or a file is broken."""
    found = {}
    for path in sorted(folder.glob("step_*.npz")):
        try:
            with np.load(path) as file:
                found[int(path.stem.removeprefix("step_"))] = file["blocks"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: holds no blocks ({error}); run the stage train again") from error
    if not found:
        raise ValueError(f"{folder}: no step_*.npz; run the stage train again")
    return dict(sorted(found.items()))
