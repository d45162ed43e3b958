"""Exact differentiable rendering of voxel grids: faces are painted, and a backend composites them."""

import functools
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.render.light import SKY
from voxsds.render.paint import paint, paint_with_room
from voxsds.render.rays import RayBundle

ON_CPU, ON_CUDA = ("reference", "numba"), ("triton", "nvdiffrast")
BACKENDS = ("auto", *ON_CPU, *ON_CUDA)
MIN_TRANSMITTANCE = 1e-4  # a ray ends here: what follows changes no 8-bit image


class Rendering(NamedTuple):
    """Images of a batch of views, and which voxels the views can tell anything about."""

    rgba: Float[Tensor, "B 4 H W"]  # linear, 0..1; the background is composited into rgb already
    reach: Float[Tensor, "X Y Z"]  # largest transmittance with which a ray arrives, 0 = none; no gradient


class Hits(NamedTuple):
    """Voxel and face that each pixel sees first."""

    voxel: Int[Tensor, "B H W"]  # flat index, (x * Y + y) * Z + z; -1 = background
    face: Int[Tensor, "B H W"]  # index into palette.FACE_NORMALS; -1 = background


@runtime_checkable
class Backend(Protocol):
    """A module that draws. It takes colours of faces, and knows no material."""

    @property
    def CHANNELS(self) -> int:
        """Numbers of a face as `composite` takes it: 3, or 4 by `paint.paint_with_room`."""
        ...

    def composite(
        self,
        opacity: Float[Tensor, "X Y Z"],
        faces: Float[Tensor, "X Y Z 6 C"],  # paint.paint
        rays: RayBundle,
        background: Float[Tensor, "3"],
        threshold: float,
        min_transmittance: float,
    ) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "X Y Z"]]:
        """(rgba, reach) of `render`, differentiable in `opacity` and `faces`."""
        ...

    def first_hit(
        self, opacity: Float[Tensor, "X Y Z"], rays: RayBundle, threshold: float
    ) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
        """(voxel, face) of `Hits`."""
        ...

    def problem(self, device: torch.device) -> str | None:
        """An error's line: why it cannot draw grids on `device`, and what to do; None where it can."""
        ...

    def bytes(self, shape: Sequence[int], pixels: int) -> int:
        """Most memory of a step in float32, with the colours of the faces, for the pixels of all views."""
        ...


def backend_of(name: str) -> Backend:
    """The module of one of `BACKENDS`; only that one is imported."""
    match name:
        case "numba":
            from voxsds.render import numba_cpu as found
        case "triton":
            from voxsds.render import triton_cuda as found
        case "nvdiffrast":
            from voxsds.render import nvdiffrast_cuda as found
        case _:
            from voxsds.render import reference as found
    return found


def choose_backend(backend: str, device: torch.device) -> str:
    """The backend that `backend` means for tensors on `device`; 'auto' is the fastest there is.

    ValueError where it is not known, or cannot draw there.
    """
    if backend not in BACKENDS:
        raise ValueError(f"renderer backend '{backend}' is not known; known are {', '.join(BACKENDS)}")
    if backend == "auto":
        fastest = "numba" if device.type == "cpu" else "triton"
        return fastest if backend_of(fastest).problem(device) is None else "reference"
    if problem := backend_of(backend).problem(device):
        raise ValueError(problem)
    return backend


def present_backends() -> dict[str, torch.device]:
    """The backends that this machine can use, each with the device that it is for."""
    meant = dict.fromkeys(ON_CPU, torch.device("cpu"))
    if torch.cuda.is_available():
        meant |= dict.fromkeys(ON_CUDA, torch.device("cuda", torch.cuda.current_device()))
    return {name: device for name, device in meant.items() if backend_of(name).problem(device) is None}


@functools.cache
def _sky(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3"]:
    """The default background. Kept: a copy from the host cannot be captured in a CUDA graph."""
    return torch.as_tensor(SKY, dtype=dtype, device=device)


def render(
    opacity: Float[Tensor, "X Y Z"],  # 0..1
    material: Float[Tensor, "X Y Z S"],  # share of each solid material, sums to 1
    lit: Float[Tensor, "S 6 3"],  # light.lit_faces
    rays: RayBundle,
    *,
    background: Float[Tensor, "3"] | None = None,  # the sky where not given
    threshold: float = 0.0,
    min_transmittance: float = MIN_TRANSMITTANCE,
    backend: str = "auto",
) -> Rendering:
    """Images of the grid, differentiable in `opacity` and `material` and in nothing else.

    Over the voxels i that a ray enters, in order, with a_i the opacity, c_i = sum_s m_is lit[s, face]
    the colour of the face entered (`paint.paint`) and T_1 = 1:

        C = sum_i T_i a_i c_i + T_end background,    T_{i+1} = T_i (1 - a_i),    A = 1 - T_end

    An opacity at or under `threshold` is drawn as zero, yet gets the exact derivative there,
    dC/da_i = T_i (c_i - B_i), B_i being the light that comes from behind the voxel; its material gets
    zero. A ray ends at a transmittance of `min_transmittance` or less. That is also the largest error, a
    ray, of a colour and of its derivative with any opacity: what is behind the voxel that ended the ray
    is still counted in that voxel's derivative.

    The voxel that holds the camera is not entered: it is not drawn and gets no gradient. A grey block
    (0.5) of opacity 0.5 before a white background gives 0.75 with A = 0.5.
    """
    _check(opacity, material, lit)
    sky = _sky(opacity.dtype, opacity.device) if background is None else background.to(opacity)
    drawing = backend_of(choose_backend(backend, opacity.device))
    lit = lit.detach().to(opacity)
    faces = paint(material, lit) if drawing.CHANNELS == 3 else paint_with_room(material, opacity, lit)
    return Rendering(*drawing.composite(opacity, faces, rays, sky, threshold, min_transmittance))


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, *, threshold: float = 0.5, backend: str = "auto"
) -> Hits:
    """The first voxel along each ray whose opacity is over `threshold`, and the face seen of it."""
    return Hits(*backend_of(choose_backend(backend, opacity.device)).first_hit(opacity, rays, threshold))


def _check(opacity: Tensor, material: Tensor, lit: Tensor) -> None:
    """ValueError where the three tables do not belong together."""
    if opacity.dtype not in (torch.float32, torch.float64) or material.dtype != opacity.dtype:
        raise ValueError(
            f"opacity is {opacity.dtype} and material {material.dtype}; both must be float32 or both float64"
        )
    if material.shape[:3] != opacity.shape or lit.shape[0] != material.shape[3]:
        raise ValueError(
            f"opacity {tuple(opacity.shape)}, material {tuple(material.shape)} and lit {tuple(lit.shape)}"
            " disagree; expected (X, Y, Z), (X, Y, Z, S) and (S, 6, 3)"
        )
