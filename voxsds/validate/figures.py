"""The figures of a result, as out_local/report/figures.json has them: a field and a line to measure each.

`criteria` and `failures` judge them, and `headline` says which of them `dvc metrics` shows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from voxsds.blocks.counts import EditCounts, count_edits, kept_share, material_counts, shares
from voxsds.blocks.neighbours import floating
from voxsds.blocks.surface import speckle_share, visible
from voxsds.render.draw import Placed, draw, psnr
from voxsds.validate.photographs import Agreement, compare
from voxsds.validate.run import Effort, GradientTest, ProbeMargin, Run, soft_field
from voxsds.validate.symptoms import Symptoms, symptoms
from voxsds.validate.views import HeldOut, Scores
from voxsds.world.field import Field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR


@dataclass(frozen=True)
class BeforeAfter:
    """A figure of the input map, and of the result."""

    before: float
    after: float


@dataclass(frozen=True)
class Quality:
    """Quality of the result, by held-out views and by the blocks."""

    r_precision: BeforeAfter  # share of the held-out views in which the prompt is recognised
    score: BeforeAfter  # mean cosine of these views with the prompt
    soft_hard_psnr_db: float  # of the exported blocks against the trained grid
    probe_margin: ProbeMargin
    speckle: float  # share of the visible blocks that are like none of their neighbours
    kept_share: float  # of the input map's visible blocks


@dataclass(frozen=True)
class Swap:
    """The control under other prompts: mean scores over the held-out views."""

    gain_prompt: float  # after less before
    gain_others: float  # likewise, mean over the other prompts
    score_others: float  # of the result


@dataclass(frozen=True)
class Materials:
    """Share of each material in all blocks, by its name."""

    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class Cleanup:
    """The result without the cleanup of the export, and what that did."""

    score_untidied: float
    r_precision_untidied: float
    speckle_untidied: float
    floating_untidied: int
    changed: int  # cells
    counts: dict[str, int]  # of out_local/export/export.json


@dataclass(frozen=True)
class Progress:
    """First and last test images: how far apart, and how well each fits the prompt."""

    pixel_change: float  # mean absolute difference, 0..1
    score_first: float
    score_last: float


@dataclass(frozen=True)
class Gradients:
    """The gradient tests on the input map, and on the trained grid."""

    before: GradientTest
    after: GradientTest


@dataclass(frozen=True)
class MapFile:
    """The exported file, read back and drawn."""

    valid: bool  # every pixel is a finite number
    blocks: int


@dataclass(frozen=True)
class Figures:
    """Everything that is measured of a result."""

    quality: Quality
    swap: Swap
    edit: EditCounts
    materials: Materials
    cleanup: Cleanup
    symptoms: Symptoms
    progress: Progress
    run: Effort
    gradcheck: Gradients
    photographs: Agreement | None  # None: the dataset has no images
    map: MapFile


def measure(run: Run, seen: HeldOut) -> Figures:
    """Measures a result; `seen` are its held-out views."""
    before, after = run.before, run.after
    soft = soft_field(run.trained)
    return Figures(
        quality=_quality(run, seen, soft),
        swap=_swap(seen.before.of, seen.after.of),
        edit=count_edits(before.blocks, after.blocks),
        materials=Materials(_materials(before), _materials(after)),
        cleanup=_cleanup(run, seen),
        symptoms=_symptoms(run, seen, soft),
        progress=_progress(run, seen),
        run=run.facts.run,
        gradcheck=Gradients(run.gradients_before, run.gradients_after),
        photographs=compare(before, run.photographs) if run.photographs else None,
        map=MapFile(bool(torch.isfinite(seen.after_images).all()), int((after.blocks != AIR).sum())),
    )


def _quality(run: Run, seen: HeldOut, soft: Field) -> Quality:
    before, after, trained = run.before.blocks, run.after.blocks, run.trained
    soft_images = draw(Placed(soft, trained.palette, trained.frame), seen.cameras)
    return Quality(
        r_precision=BeforeAfter(seen.before.r_precision, seen.after.r_precision),
        score=BeforeAfter(seen.before.score, seen.after.score),
        soft_hard_psnr_db=psnr(soft_images, seen.after_images),
        probe_margin=run.facts.probe_margin,
        speckle=speckle_share(after),
        kept_share=kept_share(before, after, visible(before)),
    )


def _swap(before: Tensor, after: Tensor) -> Swap:
    """Gains of (views texts) scores under the prompt, column 0, and on the mean under the others."""
    gain = (after - before).mean(dim=0)
    return Swap(gain[0].item(), gain[1:].mean().item(), after[:, 1:].mean().item())


def _materials(world: BlockMap) -> dict[str, float]:
    return shares(material_counts(world.blocks, world.palette.names))


def _cleanup(run: Run, seen: HeldOut) -> Cleanup:
    blocks = run.after.blocks if run.untidied is None else run.untidied
    scores: Scores = seen.after if run.untidied is None else seen.score_blocks(blocks, run.after)
    return Cleanup(
        score_untidied=scores.score,
        r_precision_untidied=scores.r_precision,
        speckle_untidied=speckle_share(blocks),
        floating_untidied=int(floating(blocks).sum()),
        changed=int((blocks != run.after.blocks).sum()),
        counts=dict(run.export_counts),
    )


def _symptoms(run: Run, seen: HeldOut, soft: Field) -> Symptoms:
    return symptoms(
        run.before.blocks,
        run.after.blocks,
        run.after.palette,
        run.prompt,
        run.limits,
        soft.opacity,
        run.trained.reach,
        seen.after.recognised,
    )


def _progress(run: Run, seen: HeldOut) -> Progress:
    first, last = run.test_images[min(run.test_images)], run.test_images[max(run.test_images)]
    score = [seen.evaluator.scores(images, [run.prompt]).mean().item() for images in (first, last)]
    return Progress((last - first).abs().mean().item(), *score)
