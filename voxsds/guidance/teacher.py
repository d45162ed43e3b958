"""What a teacher is: a denoiser with its own latents, and the knobs with which it is asked."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.hub import Source
from voxsds.guidance.sds import WeightKind
from voxsds.render.rays import RayBundle
from voxsds.world.field import is_large

FLOOR, FLOOR_OF_LARGE = (0.45, 0.02), (0.6, 0.02)  # of the noise levels, where none is given


@runtime_checkable
class Teacher(Protocol):
    """Says which noise was added to the latents of a view of the world that the prompt describes."""

    @property
    def resolution(self) -> int:
        """Side of the images that it sees, pixels; the best size to render at."""
        ...

    @property
    def alphas_cumprod(self) -> Float[Tensor, " steps"]:
        """Share of signal left in the variance at each timestep, falling."""
        ...

    @property
    def latent_range(self) -> Float[Tensor, "channels 2"] | None:
        """Lowest and highest latent of real images per channel; None where nobody measured it."""
        ...

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """The words it was taught; None where it may know any word."""
        ...

    def encode(
        self,
        images: Float[Tensor, "views 3 height width"],  # 0..1
    ) -> Float[Tensor, "views channels rows columns"]:
        """Latents as the denoiser takes them, differentiable in `images`."""
        ...

    def decode(
        self, latents: Float[Tensor, "views channels rows columns"]
    ) -> Float[Tensor, "views 3 height width"]:
        """Images 0..1 of such latents, without gradient."""
        ...

    def predict_noise(
        self,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,  # where the views look from; only a teacher that knows the world asks
    ) -> tuple[
        Float[Tensor, "views channels rows columns"],
        Float[Tensor, "views channels rows columns"],
    ]:
        """The noise in `noisy`, unconditionally and given the prompt, from one forward, no gradient."""
        ...

    def predict_conditional(
        self,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Float[Tensor, "views channels rows columns"]:
        """The second of `predict_noise` alone, at half its cost."""
        ...


@runtime_checkable
class Promptable(Protocol):
    """A teacher whose networks can be asked about another prompt."""

    def with_prompt(self, prompt: str) -> Teacher:
        """The same teacher, told `prompt`."""
        ...

    def against_nothing(self) -> Teacher:
        """The same teacher and prompt, with the empty text in the place of a negative or source prompt."""
        ...


@dataclass(frozen=True)
class Needs:
    """All sources of a teacher, and the memory that its weights take where they are here."""

    sources: tuple[Source, ...]
    weights: int | None  # bytes while it teaches
    pixel: int | None  # bytes for each pixel of each view on top of that
    loading: int | None  # bytes while prompts are encoded

    @property
    def ready(self) -> bool:
        return all(source.problem is None for source in self.sources)


Method = Literal["sds", "bridge", "jump"]


@dataclass(frozen=True)
class TeacherSettings:
    """One entry of params.yaml's `teachers`.

    A source is a local path, or on the Hub `owner/name@<commit>` (`owner/name/file@<commit>` for a
    file), the commit in full: a branch may change under a run.
    """

    kind: Literal["sdxl", "oracle"]  # oracle: `model` is the map.json of the world to arrive at
    model: str  # source of a pipeline folder in the diffusers SDXL layout
    unet: str | None  # source of an SDXL-Lightning UNet checkpoint (.safetensors) to use in its stead
    lora: str | None  # source of a LoRA (.safetensors) to add to the UNet's weights
    vae: str | None  # source of an AutoencoderKL or AutoencoderTiny folder to use in the model's stead
    variant: str | None  # "fp16": read the weight files of that name, half the download
    local_files_only: bool  # never ask the Hub
    method: Method  # how its opinion becomes a gradient; see distill.py
    negative_prompt: str | None  # what guidance leads away from; null: nothing in particular
    source_prompt: str | None  # for bridge, in the negative prompt's stead: what the input map shows
    resolution: int  # pixels; renders of other sizes are resized
    guidance_scale: float  # 0 ignores the prompt, 1 is the teacher's own conditional prediction
    guidance_end: float | None  # the scale at the last step, to which it falls linearly; null: the same
    guidance_rescale: float  # how far guided predictions get the contrast of unguided ones back, 0..1
    weight: WeightKind
    t_min: tuple[float, float] | None  # noise levels, see `noise_levels`; None: chosen by the world's size
    t_max: tuple[float, float]
    timesteps: tuple[int, ...] | None  # the only ones to ask at; null: all
    clamp: bool  # keep clean estimates in the range of the latents of real images
    pixel_clip: float | None  # limit of an image's gradient per pixel, in 90th percentiles
    dtype: Literal["float32", "bfloat16", "float16"]  # of the UNet
    vae_dtype: Literal["float32", "bfloat16"]  # float16 overflows in SDXL's autoencoder
    low_memory: bool  # a view at a time, and the encoder's blocks again in the backward: for 12 GB

    def __post_init__(self) -> None:
        """ValueError with all that is out of range."""
        floor = FLOOR_OF_LARGE if self.t_min is None else self.t_min
        wrong = [
            message
            for holds, message in (
                (self.resolution > 0, f"resolution is {self.resolution}, must be positive"),
                (
                    self.method != "bridge" or self.source_prompt is not None,
                    "method bridge leads away from source_prompt: say what the input map shows",
                ),
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
            raise ValueError(f"teacher {self.model!r}: " + "; ".join(wrong))

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

    @property
    def opposite(self) -> str | None:
        """The text that stands against the prompt; None: nothing in particular."""
        return self.source_prompt if self.method == "bridge" else self.negative_prompt
