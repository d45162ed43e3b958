"""Teachers: denoisers with latents of their own, which answer questions about noisy views."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from voxsds.guidance.hub import Source
from voxsds.guidance.noise import NoiseTable
from voxsds.render.rays import RayBundle


@dataclass(frozen=True, eq=False)
class Question:
    """A text, and what stands against it, as one teacher has read them."""

    text: str
    against: str | None  # None: nothing in particular
    encoded: Any  # for the teacher that read them alone


class Prediction(NamedTuple):
    """Noise in noisy latents by either text of a question: eps, whatever the network itself predicts."""

    against: Float[Tensor, "views channels rows columns"]
    towards: Float[Tensor, "views channels rows columns"]


@runtime_checkable
class Teacher(Protocol):
    """Says which noise was added to the latents of a view of the world that a question describes."""

    @property
    def resolution(self) -> int:
        """Side of the images that it sees, pixels; the best size to render at."""
        ...

    @property
    def noise(self) -> NoiseTable:
        """Signal and noise at each timestep, as it was trained."""
        ...

    @property
    def latent_range(self) -> Float[Tensor, "channels 2"] | None:
        """Lowest and highest latent of real images per channel; None where nobody measured it."""
        ...

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """The words it was taught; None where it may know any word."""
        ...

    def read(self, text: str, against: str | None) -> Question:
        """The question whether a view shows `text` rather than `against`; kept on disk if it is costly."""
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

    def predict(
        self,
        question: Question,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,  # where the views look from; only a teacher that knows the world asks
    ) -> Prediction:
        """The noise in `noisy` by both texts, from one forward, without gradient, in the type of `noisy`."""
        ...

    def predict_towards(
        self,
        question: Question,
        noisy: Float[Tensor, "views channels rows columns"],
        timesteps: Int[Tensor, " views"],
        rays: RayBundle | None,
    ) -> Float[Tensor, "views channels rows columns"]:
        """The second of `predict` alone, at half its cost."""
        ...


@dataclass(frozen=True)
class Needs:
    """Sources of a teacher, and the memory that its weights take where they are here."""

    sources: tuple[Source, ...]
    weights: int | None  # bytes while it teaches
    pixel: int | None  # bytes for each pixel of each view on top of that
    loading: int | None  # bytes while prompts are encoded

    @property
    def ready(self) -> bool:
        return all(source.problem is None for source in self.sources)
