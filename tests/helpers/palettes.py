"""Palettes that no program has, as large as a test wants them."""

from pathlib import Path

import numpy as np
import yaml


def write_palette(path: Path, materials: int, seed: int = 0) -> Path:
    """A palette of that many solid materials, Material 1 and so on, of random colours."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "name": f"Material {i}",
            **{slot: rng.random(3).round(4).tolist() for slot in ("top", "bottom", "side")},
            "state": f"many:material_{i}",
            "words": [f"material{i}"],
            "under": [f"Material {i - 1}"] if i > 1 else [],
        }
        for i in range(1, materials + 1)
    ]
    path.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    return path
