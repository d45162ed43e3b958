"""Pages of the report over worlds of a few blocks, and over one as large as is usual in games."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from teacher.worlds.materials import DIRT, ENGINE, GRASS, SNOW, STONE
from tests.helpers.small_run import FRAME, LAW, SETTINGS, grassland, small_run, snow_with_post
from tests.helpers.tiny_evaluator import save_tiny_evaluator
from voxsds.report.page import Page
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.validation import validate
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap

LARGE = (256, 128, 256)


def half_way() -> np.ndarray:
    """Between `grassland` and `snow_with_post`: some ground repainted, some gone, half of the post built."""
    blocks = grassland()
    blocks[:4, 0, :] = SNOW
    blocks[6:, 0, 6:] = 0
    blocks[4, 1:3, 4] = STONE
    return blocks


def make_page(folder: Path, prompt: str, **changes: Any) -> Page:
    """The report of a run that turned grassland into snow with a post; `folder` gets an evaluator."""
    evaluator = Evaluator.load(save_tiny_evaluator(folder))
    run = small_run(prompt, grassland(), snow_with_post())
    page = Page(
        subtitle=prompt,
        run=run,
        validation=validate(run, evaluator, distractor_captions(prompt, 5, 0), LAW, SETTINGS),
        captions=6,
        history=pd.DataFrame({"step": [0.0, 1, 2], "probe_margin": [-0.02, 0, 0.01], "loss": [1.0, 3, 2]}),
        worlds={0: grassland(), 2: half_way(), 4: snow_with_post()},
        gradient_errors={"central_differences": {"occupancy": 1e-8}, "single_blocks": {"added": 2e-16}},
        provenance={"machine": prompt},
        settings={"prompt": prompt, "lr": 0.05},
    )
    return replace(page, **changes)


def with_custom_material(page: Page, name: str) -> Page:
    """`page` with a material of that name in its worlds, of which the post is made."""
    palette = ENGINE.extended((name,), np.full((1, 3, 3), 0.5))
    blocks = snow_with_post()
    blocks[blocks == STONE] = len(ENGINE)
    before, after = (BlockMap(b, palette, FRAME, {}) for b in (grassland(), blocks))
    return replace(page, run=replace(page.run, before=before, after=after))


def large_landscape(seed: int) -> np.ndarray:
    """Hills over 256 x 128 x 256 voxels, rough by a block here and there: some three million blocks."""
    x, z = np.meshgrid(np.arange(LARGE[0]), np.arange(LARGE[2]), indexing="ij")
    waves = 14 * np.sin(x / 23) * np.cos(z / 31) + 9 * np.sin((x + z) / 11)
    rough = np.random.default_rng(seed).integers(0, 3, x.shape)
    height = (48 + waves + rough).astype(int)[:, None, :]
    y = np.arange(LARGE[1])[None, :, None]
    blocks = np.where(y < height - 4, STONE, np.where(y < height - 1, DIRT, GRASS))
    return np.where(y < height, blocks, 0)


def with_large_worlds(page: Page) -> Page:
    """`page` over a large landscape that is rebuilt at 20,000 random places in each of six moments."""
    rng, worlds = np.random.default_rng(0), {0: large_landscape(0)}
    for step in range(1, 7):
        blocks = worlds[step - 1].copy()
        blocks[tuple(rng.integers(0, side, 20_000) for side in LARGE)] = rng.integers(0, 8, 20_000)
        worlds[step] = blocks
    frame = Frame((LARGE[0] / 2, LARGE[2] / 2))
    before, after = (BlockMap(worlds[i], ENGINE, frame, {}) for i in (0, 6))
    return replace(page, run=replace(page.run, before=before, after=after), worlds=worlds)
