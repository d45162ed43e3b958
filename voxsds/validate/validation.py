"""What became of a world: figures and pictures, taken from the exported file alone.

Nothing measured here was shown to the optimisation: the views lie between the dataset's, the evaluator
shares no weights or data with the teacher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.blocks.counts import CHANGES, changes, count_edits, kept_share, material_counts, shares
from voxsds.blocks.limits import Limits
from voxsds.blocks.neighbours import floating
from voxsds.blocks.surface import speckle_share, visible
from voxsds.grid.file import GridFile
from voxsds.render.draw import Images, draw, draw_blocks, psnr
from voxsds.validate.criteria import (
    Verdict,
    gradient_verdicts,
    photograph_verdicts,
    pipeline_verdicts,
    quality_verdicts,
)
from voxsds.validate.evaluator import Evaluator, retrieved
from voxsds.validate.failures import Failure, failures
from voxsds.validate.held_out import Ring, azimuth, held_out_cameras
from voxsds.validate.photographs import Photograph, compare
from voxsds.validate.symptoms import Blocks, symptoms
from voxsds.world.cameras import Camera
from voxsds.world.field import Field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR
from voxsds.world.poses import PoseLaw


@dataclass(frozen=True)
class ValidateSettings:
    """How a result is looked at."""

    ring: Ring  # the held-out views that are scored
    image_size: int  # pixels of the images that are scored
    pictured: int  # views shown in the report
    picture_size: int  # pixels
    evaluator: str  # folder in the layout of transformers' CLIPModel
    distractors: int  # captions that the prompt is retrieved among
    distractor_seed: int
    other_prompts: int  # of the distractors, whose scores the report shows one by one

    def __post_init__(self) -> None:
        """ValueError where the counts do not fit together."""
        if not 1 <= self.pictured <= self.ring.views or self.ring.views < 8:
            raise ValueError(
                f"validate: ring.views is {self.ring.views} and pictured {self.pictured}; "
                "score at least 8 views and picture 1 to all of them"
            )
        if not 1 <= self.other_prompts <= self.distractors or not self.ring.elevations:
            raise ValueError(
                f"validate: other_prompts is {self.other_prompts} of {self.distractors} distractors and "
                f"ring.elevations {list(self.ring.elevations)}; give at least one of each"
            )


@dataclass(frozen=True, eq=False)
class View:
    """One held-out view in the report."""

    label: str
    before: Float[Tensor, "3 height width"]
    after: Float[Tensor, "3 height width"]
    changed: Float[Tensor, "3 height width"]
    score_before: float
    score_after: float
    retrieved_after: bool


@dataclass(frozen=True)
class OtherPrompt:
    """The prompt-swap control: mean score of the pictures under a text that nobody asked for."""

    text: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Run:
    """All that is looked at."""

    prompt: str
    before: BlockMap
    after: BlockMap  # as read from the exported file
    trained: GridFile
    dataset: Sequence[Camera]
    test_images: Mapping[int, Images]  # by step
    gradients_before: Mapping[str, Any]  # gradient test on the input map
    gradients_after: Mapping[str, Any]  # and on the trained grid
    facts: Mapping[str, Any]  # figures that the training logged
    photographs: Sequence[Photograph] = ()  # the dataset's own images of the input map
    limits: Limits | None = None  # of the edit; None: everything might change
    untidied: Blocks | None = None  # what the export would be without its cleanup; None: it had none
    export_counts: Mapping[str, int] = field(default_factory=dict)  # what the export did


@dataclass(frozen=True, eq=False)
class Validation:
    figures: dict[str, Any]  # what metrics.json holds
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    views: tuple[View, ...]
    others: tuple[OtherPrompt, ...]


def validate(
    run: Run, evaluator: Evaluator, distractors: Sequence[str], law: PoseLaw, settings: ValidateSettings
) -> Validation:
    """Looks at the result of a run; the figures are those of out_local/report/metrics.json."""
    before, after = run.before, run.after
    cameras = held_out_cameras(
        settings.ring, law, before.blocks.shape, before.frame, settings.image_size, run.dataset
    )
    images = {
        name: draw_blocks(world.blocks, world.palette, world.frame, cameras)
        for name, world in (("before", before), ("after", after))
    }
    texts = [run.prompt, *distractors]
    scores = {name: evaluator.scores(batch, texts) for name, batch in images.items()}
    others = tuple(
        OtherPrompt(text, scores["before"][:, i].mean().item(), scores["after"][:, i].mean().item())
        for i, text in enumerate(texts)
        if i > 0
    )
    soft, hits = _soft(run.trained), retrieved(scores["after"])
    figures = {
        "quality": {
            "r_precision": {name: retrieved(s).double().mean().item() for name, s in scores.items()},
            "score": {name: s[:, 0].mean().item() for name, s in scores.items()},
            "swap": _swap(scores["before"], scores["after"]),
            "soft_hard_psnr_db": psnr(
                draw(soft, run.trained.palette, run.trained.frame, cameras), images["after"]
            ),
            "probe_margin": dict(run.facts["probe_margin"]),
            "speckle": speckle_share(after.blocks),
            "kept_share": kept_share(before.blocks, after.blocks, visible(before.blocks)),
        },
        "edit": asdict(count_edits(before.blocks, after.blocks)),
        "materials": {"before": _materials(before), "after": _materials(after)},
        "cleanup": _cleanup(run, evaluator, texts, cameras, scores["after"]),
        "symptoms": asdict(
            symptoms(
                before.blocks,
                after.blocks,
                after.palette.names,
                run.prompt,
                run.limits,
                soft.opacity,
                run.trained.reach,
                hits,
            )
        ),
        "progress": _progress(run, evaluator),
        "run": dict(run.facts["run"]),
        "gradcheck": {"ok": bool(run.gradients_before["ok"]), "ok_after": bool(run.gradients_after["ok"])},
        "photographs": asdict(compare(before, run.photographs)) if run.photographs else {"views": 0},
        "map": {
            "valid": bool(torch.isfinite(images["after"]).all()),
            "blocks": int((after.blocks != AIR).sum()),
        },
    }
    verdicts = (
        *gradient_verdicts("(input map)", run.gradients_before),
        *gradient_verdicts("(trained grid)", run.gradients_after),
        *pipeline_verdicts(figures),
        *quality_verdicts(figures),
        *photograph_verdicts(figures["photographs"]),
    )
    figures["verdicts"] = {
        "passed": sum(v.passed for v in verdicts),
        "failed": sum(not v.passed for v in verdicts),
    }
    named = failures(figures)
    figures["failures"] = [asdict(failure) for failure in named]
    return Validation(
        figures, verdicts, named, _views(run, cameras, scores, settings), others[: settings.other_prompts]
    )


@torch.no_grad()
def soft_images(trained: GridFile, cameras: Sequence[Camera]) -> Images:
    """The trained grid as its last step drew it, from these cameras."""
    return draw(_soft(trained), trained.palette, trained.frame, cameras)


@torch.no_grad()
def _soft(trained: GridFile) -> Field:
    """The trained grid as its last step drew it."""
    return trained.grid.field(trained.run["occupancy_temperature"], trained.run["material_temperature"])


def _cleanup(
    run: Run,
    evaluator: Evaluator,
    texts: Sequence[str],
    cameras: Sequence[Camera],
    scores: Float[Tensor, "views texts"],  # of the result
) -> dict[str, Any]:
    """What the export did, and how the same views of the blocks would score without its cleanup."""
    world, blocks = run.after, run.after.blocks
    if run.untidied is not None:
        blocks = run.untidied
        scores = evaluator.scores(draw_blocks(blocks, world.palette, world.frame, cameras), texts)
    return {
        "score_untidied": scores[:, 0].mean().item(),
        "r_precision_untidied": retrieved(scores).double().mean().item(),
        "speckle_untidied": speckle_share(blocks),
        "floating_untidied": int(floating(blocks).sum()),
        "changed": int((blocks != world.blocks).sum()),
        "counts": dict(run.export_counts),
    }


def _materials(world: BlockMap) -> dict[str, float]:
    return shares(material_counts(world.blocks, world.palette.names))


def _swap(before: Float[Tensor, "views texts"], after: Float[Tensor, "views texts"]) -> dict[str, float]:
    """How much the score gained under the prompt (column 0) and, on the mean, under the others."""
    gain = (after - before).mean(dim=0)
    return {
        "gain_prompt": gain[0].item(),
        "gain_others": gain[1:].mean().item(),
        "score_others": after[:, 1:].mean().item(),
    }


def _progress(run: Run, evaluator: Evaluator) -> dict[str, float]:
    """First and last test images: how far apart, and how well each fits the prompt."""
    first, last = run.test_images[min(run.test_images)], run.test_images[max(run.test_images)]
    score = [evaluator.scores(images, [run.prompt]).mean().item() for images in (first, last)]
    return {
        "pixel_change": (last - first).abs().mean().item(),
        "score_first": score[0],
        "score_last": score[1],
    }


def _views(
    run: Run, cameras: Sequence[Camera], scores: Mapping[str, Tensor], settings: ValidateSettings
) -> tuple[View, ...]:
    """The pictured views, evenly over the ring, drawn larger."""
    chosen = np.linspace(0, settings.ring.views, settings.pictured, endpoint=False).astype(int)
    size = settings.picture_size
    large = [cameras[i].resized(size, size) for i in chosen]
    before, after = run.before, run.after
    pictures = zip(
        draw_blocks(before.blocks, before.palette, before.frame, large),
        draw_blocks(after.blocks, after.palette, after.frame, large),
        draw_blocks(changes(before.blocks, after.blocks), CHANGES, after.frame, large),
        strict=True,
    )
    hit = retrieved(scores["after"])
    return tuple(
        View(
            _label(cameras[i], before),
            *triple,
            scores["before"][i, 0].item(),
            scores["after"][i, 0].item(),
            bool(hit[i]),
        )
        for i, triple in zip(chosen, pictures, strict=True)
    )


def _label(camera: Camera, world: BlockMap) -> str:
    """Where a view is taken from: "from SE (52.5°), 28° up"."""
    around = azimuth(camera, world.blocks.shape, world.frame)
    wind = ("E", "SE", "S", "SW", "W", "NW", "N", "NE")[round(around / 45) % 8]
    up = np.degrees(np.arcsin(np.clip(camera.view[2, 1], -1, 1)))
    return f"from {wind} ({round(around, 1):g}°), {up:.0f}° up"
