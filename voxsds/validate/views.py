"""The held-out views of a result: drawn, scored against captions, and some of them pictured in the report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.blocks.counts import CHANGES, changes
from voxsds.render.draw import Images, draw
from voxsds.validate.evaluator import Evaluator, retrieved
from voxsds.validate.held_out import Ring, azimuth, held_out_cameras
from voxsds.validate.run import Run
from voxsds.validate.symptoms import Blocks
from voxsds.world.cameras import Camera
from voxsds.world.maps import BlockMap
from voxsds.world.poses import PoseLaw


@dataclass(frozen=True)
class ValidateSettings:
    """Views, pictures and captions by which a result is judged."""

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
class Scores:
    """Cosines of views and texts, of which the prompt is the first."""

    of: Float[Tensor, "views texts"]

    @property
    def recognised(self) -> Bool[Tensor, " views"]:
        """The views that fit the prompt better than any other text."""
        return retrieved(self.of)

    @property
    def r_precision(self) -> float:
        """Share of the views that are recognised."""
        return self.recognised.double().mean().item()

    @property
    def score(self) -> float:
        """Mean cosine with the prompt."""
        return self.of[:, 0].mean().item()


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The held-out views of a run, scored."""

    cameras: tuple[Camera, ...]
    texts: tuple[str, ...]  # the prompt, then its distractors
    evaluator: Evaluator
    after_images: Images
    before: Scores
    after: Scores

    def score_blocks(self, blocks: Blocks, world: BlockMap) -> Scores:
        """Scores of `blocks` in the place of those of `world`."""
        images = draw(BlockMap(blocks, world.palette, world.frame), self.cameras)
        return Scores(self.evaluator.scores(images, self.texts))


def look(
    run: Run, evaluator: Evaluator, distractors: Sequence[str], law: PoseLaw, settings: ValidateSettings
) -> HeldOut:
    """Draws and scores the input map and the result from a ring of views that the training never had."""
    before, after = run.before, run.after
    cameras = held_out_cameras(
        settings.ring, law, before.blocks.shape, before.frame, settings.image_size, run.dataset
    )
    texts = (run.prompt, *distractors)
    first, last = (draw(w, cameras) for w in (before, after))
    scores = (Scores(evaluator.scores(images, texts)) for images in (first, last))
    return HeldOut(cameras, texts, evaluator, last, *scores)


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


def pictured(run: Run, seen: HeldOut, settings: ValidateSettings) -> tuple[View, ...]:
    """The views of the report, evenly over the ring, drawn larger than they were scored."""
    chosen = np.linspace(0, settings.ring.views, settings.pictured, endpoint=False).astype(int)
    size = settings.picture_size
    large = [seen.cameras[i].resized(size, size) for i in chosen]
    before, after = run.before, run.after
    pictures = zip(
        draw(before, large),
        draw(after, large),
        draw(BlockMap(changes(before.blocks, after.blocks), CHANGES, after.frame), large),
        strict=True,
    )
    return tuple(
        View(
            _label(seen.cameras[i], before),
            *triple,
            score_before=seen.before.of[i, 0].item(),
            score_after=seen.after.of[i, 0].item(),
            retrieved_after=bool(seen.after.recognised[i]),
        )
        for i, triple in zip(chosen, pictures, strict=True)
    )


def _label(camera: Camera, world: BlockMap) -> str:
    """Place a view is taken from: "from SE (52.5°), 28° up"."""
    around = azimuth(camera, world.blocks.shape, world.frame)
    wind = ("E", "SE", "S", "SW", "W", "NW", "N", "NE")[round(around / 45) % 8]
    up = np.degrees(np.arcsin(np.clip(camera.view[2, 1], -1, 1)))
    return f"from {wind} ({round(around, 1):g}°), {up:.0f}° up"


@dataclass(frozen=True)
class OtherPrompt:
    """The prompt-swap control: mean score of the pictures under a text that nobody asked for."""

    text: str
    before: float
    after: float


def other_prompts(seen: HeldOut, count: int) -> tuple[OtherPrompt, ...]:
    """The first `count` distractors with their scores."""
    return tuple(
        OtherPrompt(seen.texts[i], seen.before.of[:, i].mean().item(), seen.after.of[:, i].mean().item())
        for i in range(1, count + 1)
    )
