"""Memory that a training takes, counted before it starts, so that what does not fit is said at once.

Counted is what is alive at the worst moment of a step, some way back through the renderer. In numbers a
voxel, for M materials (air counted), S = M - 1, and f = 1 + 1/8 + 1/64 for the levels 1, 2 and 4:

    grid and Adam         (1 + M)(1 + 3 f) + 1     initial logits; residuals and Adam's two means; reach
    field and penalties   M + 4 S + 5              what autograd keeps of logits, shares and entropy; reach
    renderer              the largest of
                          F                        colours of the faces, while penalties go backward; with
                          6 (S + 1), 3 M           neighbours for patchwork, and the gradients for its limit
                          49, or 94                while Triton, or numba, goes backward; 2 M for the limit
                          F + 1 + 2 S              when that becomes gradients of shares; 2 M likewise

with F six times the channels of the backend, 24 for Triton and 18 for numba; and besides, the images, the
teacher's weights, and what it keeps of every pixel. With eight materials, Triton and patchwork that is
41 + 41 + 72 numbers, 154 x 4 bytes a voxel: 5.2 GB for 256 x 128 x 256.
"""

import math
import os
from dataclasses import dataclass, replace

import psutil
import torch

from voxsds.guidance.load import family
from voxsds.guidance.teacher import Needs
from voxsds.render.renderer import backend_of, choose_backend
from voxsds.train.recipe import Recipe

NUMBER = 4  # bytes
PIXEL = 16  # numbers: a colour with its gradient, latents, noise and prediction

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Load:
    """A training, as far as its memory depends on it."""

    shape: Shape
    materials: int  # air counted
    levels: tuple[int, ...]
    backend: str  # of the renderer; not "auto"
    views: int  # that one process draws a step
    resolution: int  # pixels along the side of a view
    needs: Needs  # the teacher's
    patchwork: bool = False  # penalised
    limited: bool = False  # that penalty is

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        shape: Shape,
        materials: int,
        levels: tuple[int, ...],
        device: torch.device,
        processes: int = 1,  # that share a step's views
    ) -> "Load":
        """The load of a training by `recipe` on `device`."""
        return cls(
            shape=shape,
            materials=materials,
            levels=levels,
            backend=choose_backend(recipe.render.backend, device),
            views=-(-recipe.train.views // processes),
            resolution=recipe.teacher.ask.resolution,
            needs=family(recipe.teacher.model).needs(recipe.teacher.model, ask_hub=False),
            patchwork=recipe.train.penalties.patchwork > 0,
            limited=recipe.train.patchwork_limit is not None,
        )

    @property
    def parts(self) -> dict[str, int]:
        """Bytes, by what takes them."""
        voxels, solids = math.prod(self.shape), self.materials - 1
        residuals = sum(math.prod(-(-side // k) for side in self.shape) for k in self.levels)
        pixels = self.views * self.resolution**2
        return {
            "grid and Adam": NUMBER * ((1 + self.materials) * (voxels + 3 * residuals) + voxels),
            "field and penalties": NUMBER * voxels * (self.materials + 4 * solids + 5),
            f"renderer ({self.backend})": self._renderer(voxels, solids, pixels),
            "images": NUMBER * PIXEL * pixels,
            "teacher": self._teacher(pixels),
        }

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def _renderer(self, voxels: int, solids: int, pixels: int) -> int:
        """While penalties go backward, then the renderer, and when faces become shares."""
        drawing, kept = backend_of(self.backend), self.limited * 2 * self.materials
        faces = 6 * drawing.CHANNELS
        penalties = faces + self.patchwork * 6 * (solids + 1) + self.limited * 3 * self.materials
        backward = drawing.bytes(self.shape, pixels) + NUMBER * voxels * kept
        return max(NUMBER * voxels * max(penalties, faces + 1 + 2 * solids + kept), backward)

    def _teacher(self, pixels: int) -> int:
        """0 where it is not here yet: its size is known when it has been downloaded."""
        if self.needs.weights is None or self.needs.pixel is None:
            return 0
        return self.needs.weights + self.needs.pixel * pixels

    def require(self, free: int, device: str) -> None:
        """ValueError, with the numbers and what would help, where it takes more than `free` bytes."""
        if self.total <= free:
            return
        size = " x ".join(map(str, self.shape))
        parts = ", ".join(f"{name} {_gb(taken)}" for name, taken in self.parts.items())
        helps = "; ".join(f"{change}: {_gb(less)} GB" for change, less in self.remedies().items())
        raise ValueError(
            f"training {size} voxels takes about {_gb(self.total)} GB, and {_gb(free)} GB are free on "
            f"{device}: {parts}. With {helps}"
        )

    def remedies(self) -> dict[str, int]:
        """Bytes that are left to need after each change, those that help most first."""
        changes = {
            "a map half as long on each side": replace(self, shape=tuple(-(-n // 2) for n in self.shape)),
            "half the teacher's resolution": replace(self, resolution=self.resolution // 2),
            "one view for each process (train.views)": replace(self, views=1),
            "a plain grid (grid.levels [1])": replace(self, levels=(1,)),
            "another renderer (render.backend auto)": replace(self, backend=self._usual()),
        }
        helping = {name: load.total for name, load in changes.items() if load.total < self.total}
        return dict(sorted(helping.items(), key=lambda item: item[1]))

    def _usual(self) -> str:
        """The backend that `auto` means where this one can be used."""
        return {"reference": "numba", "nvdiffrast": "triton"}.get(self.backend, self.backend)


def _gb(count: int) -> str:
    return f"{count / 1e9:.3g}"


def tune_allocators() -> None:
    """Lets torch extend a segment of a card's memory instead of reserving another beside it, and ask Linux
    for pages of 2 MB where a tensor in main memory fills them: a twentieth of a step on a CPU.

    Has to be called before the first tensor is made. A choice in the environment stays.
    """
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def free_bytes(device: str, processes: int) -> int:
    """Memory that nothing uses yet: of the card, or this one's part of the machine's."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    return psutil.virtual_memory().available // processes
