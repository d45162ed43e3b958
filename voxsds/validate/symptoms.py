"""Symptoms of failed runs, as figures: worlds and views in, numbers out. `failures` judges them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage
from torch import Tensor

from voxsds.blocks.limits import Limits
from voxsds.blocks.neighbours import floating
from voxsds.blocks.surface import speckle_share, visible
from voxsds.captions.naming import materials_in
from voxsds.world.palette import AIR, Palette

Blocks = Integer[np.ndarray, "X Y Z"]

PRESENT = 0.002  # share of the visible blocks; the planks of a few trees make 0.005
SEEN = 0.1  # light that must have arrived at a voxel
HARD = 0.05  # a voxel less than this away from empty or opaque is one of both


@dataclass(frozen=True)
class Symptoms:
    """Shares are 0..1; of visible blocks where nothing else is said."""

    changed: float  # of the blocks visible before or after: other material, gone, or new
    main_material: str  # the commonest one of the result
    main_share: float
    main_share_before: float  # of that one in the input map
    missing_materials: list[str]  # named by the prompt, all but absent from the result
    stray_material: str | None  # the one that the prompt does not name and that grew most; None: none grew
    stray_growth: float  # by which share
    haze: float  # of all voxels seen that are drawn, those that are neither empty nor opaque
    speckle: float
    new_floating: int  # blocks that float and did not
    lost_columns: float  # of the columns of the map that held a block, those that hold none
    pierced_columns: float  # likewise, those of them that land encloses: holes right through it
    excess: int  # cells that break a limit of the edit
    dark_arc: float  # of the ring of views, the longest run in which the prompt is not recognised


def symptoms(
    before: Blocks,
    after: Blocks,
    palette: Palette,
    prompt: str,
    limits: Limits | None,  # of the edit; None: everything might change
    opacity: Float[Tensor, "X Y Z"],  # of the trained grid, as its last step drew it
    reach: Float[Tensor, "X Y Z"],  # best transmittance with which any ray of the run arrived
    recognised: Bool[Tensor, " views"],  # the result as the prompt, in a ring of views
) -> Symptoms:
    """Measures the symptoms of a run."""
    seen = visible(before) | visible(after)
    names = palette.names
    shares, shares_before = material_shares(after, len(names)), material_shares(before, len(names))
    main = int(shares.argmax())
    stray, growth = stray_material(shares - shares_before, prompt, palette)
    lost = lost_columns(before, after)
    columns = max(1, int((before != AIR).any(axis=1).sum()))
    return Symptoms(
        changed=float((before != after)[seen].mean()) if seen.any() else 0.0,
        main_material=names[main],
        main_share=float(shares[main]),
        main_share_before=float(shares_before[main]),
        missing_materials=[names[m] for m in sorted(materials_in(prompt, palette)) if shares[m] < PRESENT],
        stray_material=None if stray == AIR else names[stray],
        stray_growth=growth,
        haze=haze(opacity, reach),
        speckle=speckle_share(after),
        new_floating=int((floating(after) & ~floating(before)).sum()),
        lost_columns=float(lost.sum() / columns),
        pierced_columns=float((lost & enclosed_voids(after)).sum() / columns),
        excess=0 if limits is None else limits.excess(after, before),
        dark_arc=dark_arc(recognised),
    )


def material_shares(blocks: Blocks, materials: int) -> Float[np.ndarray, " materials"]:
    """Share of each material in the visible blocks; all zero where there is none."""
    counts = np.bincount(blocks[visible(blocks)], minlength=materials)
    return counts / max(1, counts.sum())


def stray_material(
    growth: Float[np.ndarray, " materials"], prompt: str, palette: Palette
) -> tuple[int, float]:
    """The material that the prompt does not ask for and whose share grew most, and by how much.

    (AIR, 0) where none grew or the prompt names no material. What comes to light under a named
    ground (the palette's column `under`) is asked for with it.
    """
    asked = materials_in(prompt, palette)
    if not asked:
        return AIR, 0.0
    growth = growth.copy()
    under = [palette.index(name) for m in asked for name in palette.under.get(palette.names[m], ())]
    growth[[AIR, *asked, *under]] = 0
    worst = int(growth.argmax())
    return (worst, float(growth[worst])) if growth[worst] > 0 else (AIR, 0.0)


def lost_columns(before: Blocks, after: Blocks) -> Bool[np.ndarray, "X Z"]:
    """The columns that held a block and hold none."""
    return (before != AIR).any(axis=1) & ~(after != AIR).any(axis=1)


def enclosed_voids(blocks: Blocks) -> Bool[np.ndarray, "X Z"]:
    """The empty columns from which no path over empty columns, side by side, leads out of the grid.

    One sees the sky through them from above. The rim of a land that was rounded off has none; a plain
    with one column missing in its middle has one.
    """
    return np.asarray(ndimage.binary_fill_holes((blocks != AIR).any(axis=1))) & ~(blocks != AIR).any(axis=1)


def haze(opacity: Float[Tensor, "X Y Z"], reach: Float[Tensor, "X Y Z"]) -> float:
    """Share of the voxels seen and drawn that is neither empty nor opaque."""
    drawn = opacity[(reach > SEEN) & (opacity > HARD)]
    return float((drawn < 1 - HARD).double().mean()) if len(drawn) else 0.0


def dark_arc(recognised: Bool[Tensor, " views"]) -> float:
    """Longest run of a ring's views that is not recognised, as a share of the ring.

    Of yes, no, no, yes, no in a ring of five 2 / 5; where no view is recognised 1.
    """
    hits = recognised.nonzero().flatten().tolist()
    if not hits:
        return 1.0
    around = [*hits, hits[0] + len(recognised)]
    return max(b - a - 1 for a, b in zip(around, around[1:], strict=False)) / len(recognised)
