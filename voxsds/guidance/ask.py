"""Knobs of asking a teacher, whatever family it is of."""

from dataclasses import dataclass
from typing import Literal

from voxsds.guidance.sds import WeightKind
from voxsds.world.field import is_large

FLOOR, FLOOR_OF_LARGE = (0.45, 0.02), (0.6, 0.02)  # of the noise levels, where none is given

Method = Literal["sds", "jump"]


@dataclass(frozen=True)
class AskSettings:
    """Section `ask` of a teacher in params.yaml."""

    method: Method  # by which its opinion becomes a gradient; see distill.py
    negative_prompt: str | None  # what guidance leads away from; null: nothing in particular
    resolution: int  # pixels; renders of other sizes are resized
    guidance_scale: float  # 0 ignores the prompt, 1 is the teacher's own prediction for it
    guidance_end: float | None  # the scale at the last step, to which it falls linearly; null: the same
    guidance_rescale: float  # how far guided predictions get the contrast of unguided ones back, 0..1
    weight: WeightKind
    t_min: tuple[float, float] | None  # noise levels, see `noise_levels`; None: chosen by the world's size
    t_max: tuple[float, float]
    timesteps: tuple[int, ...] | None  # the only ones to ask at; null: all
    clamp: bool  # keep clean estimates in the range of the latents of real images
    pixel_clip: float | None  # limit of an image's gradient per pixel, in 90th percentiles

    def __post_init__(self) -> None:
        """ValueError that lists all that is out of range."""
        floor = FLOOR_OF_LARGE if self.t_min is None else self.t_min
        wrong = [
            message
            for holds, message in (
                (self.resolution > 0, f"resolution is {self.resolution}, must be positive"),
                (self.guidance_scale >= 0, f"guidance_scale is {self.guidance_scale}, must not be negative"),
                (
                    self.guidance_end is None or self.guidance_end >= 0,
                    f"guidance_end is {self.guidance_end}, must not be negative; null keeps guidance_scale",
                ),
                (
                    0 <= self.guidance_rescale <= 1,
                    f"guidance_rescale is {self.guidance_rescale}, must be from 0 to 1",
                ),
                (
                    all(0 <= low <= high <= 1 for low, high in zip(floor, self.t_max, strict=True)),
                    f"t_min {list(floor)} and t_max {list(self.t_max)} must satisfy 0 <= t_min <= t_max <= 1",
                ),
                (
                    self.pixel_clip is None or self.pixel_clip > 0,
                    f"pixel_clip is {self.pixel_clip}, must be positive; null switches it off",
                ),
            )
            if not holds
        ]
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def guidance(self) -> tuple[float, float]:
        """The guidance scale at the first and at the last step."""
        return self.guidance_scale, self.guidance_scale if self.guidance_end is None else self.guidance_end

    def noise_levels(self, shape: tuple[int, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
        """The least and the largest noise level as shares of the schedule, each at the first and last step.

        Much noise asks for a world's broad outlines. Ground is taken away from outside in, so where it is
        twice as many voxels deep they have to be asked for longer; in a small world that time would only
        flatten what is there.
        """
        if self.t_min is not None:
            return self.t_min, self.t_max
        return FLOOR_OF_LARGE if is_large(shape) else FLOOR, self.t_max
