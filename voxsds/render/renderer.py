"""Exact differentiable rendering of voxel grids: one function over interchangeable backends."""

import functools
import importlib.util
import os
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from voxsds.render.light import SKY
from voxsds.render.rays import RayBundle

BACKENDS = ("auto", "reference", "numba", "triton", "nvdiffrast")
MIN_TRANSMITTANCE = 1e-4  # a ray ends here: what follows changes no 8-bit image


class Rendering(NamedTuple):
    """Images of a batch of views, and which voxels the views can tell anything about."""

    rgba: Float[Tensor, "B 4 H W"]  # linear, 0..1; the background is composited into rgb already
    reach: Float[Tensor, "X Y Z"]  # largest transmittance with which a ray arrives, 0 = none; no gradient


class Hits(NamedTuple):
    """What each pixel sees first."""

    voxel: Int[Tensor, "B H W"]  # flat index, (x * Y + y) * Z + z; -1 = background
    face: Int[Tensor, "B H W"]  # index into palette.FACE_NORMALS; -1 = background


def choose_backend(backend: str, device: torch.device) -> str:
    """The backend that `backend` means for tensors on `device`; 'auto' is the fastest there is."""
    if backend not in BACKENDS:
        raise ValueError(f"renderer backend '{backend}' is not known; known are {', '.join(BACKENDS)}")
    if backend == "auto":
        if device.type == "cpu":
            return "numba"
        return "triton" if importlib.util.find_spec("triton") else "reference"
    if backend == "numba" and device.type != "cpu":
        raise ValueError(f"renderer backend 'numba' is for the CPU, the grid is on {device}; use 'auto'")
    if backend == "triton":
        _check_triton(device)
    if backend == "nvdiffrast":
        _check_nvdiffrast(device)
    return backend


def present_backends() -> dict[str, torch.device]:
    """The backends that this machine can use, each with the device that it is for."""
    present = {"reference": torch.device("cpu"), "numba": torch.device("cpu")}
    if torch.cuda.is_available():
        found = [name for name in ("triton", "nvdiffrast") if importlib.util.find_spec(name)]
        present |= dict.fromkeys(found, torch.device("cuda", torch.cuda.current_device()))
    return present


def _check_triton(device: torch.device) -> None:
    """ValueError where Triton's kernels cannot run. Its interpreter runs them on the CPU, slowly."""
    if not importlib.util.find_spec("triton"):
        raise ValueError(
            "renderer backend 'triton' needs the package triton, which comes with torch for CUDA on Linux;"
            " use 'auto'"
        )
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"renderer backend 'triton' is for CUDA, the grid is on {device}; use 'auto', or set"
            " TRITON_INTERPRET=1 to test the kernels on the CPU"
        )


def _check_nvdiffrast(device: torch.device) -> None:
    """ValueError where nvdiffrast is not installed, or the grid not where it can be drawn."""
    if not importlib.util.find_spec("nvdiffrast"):
        raise ValueError(
            "renderer backend 'nvdiffrast' needs the package nvdiffrast (for research and evaluation only):"
            " pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast@v0.4.0;"
            " or use 'auto'"
        )
    if device.type != "cuda":
        raise ValueError(f"renderer backend 'nvdiffrast' is for CUDA, the grid is on {device}; use 'auto'")


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
    the colour of the face entered and T_1 = 1:

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
    lit = lit.to(opacity)
    match choose_backend(backend, opacity.device):
        case "numba":
            from voxsds.render import numba_cpu

            return Rendering(
                *numba_cpu.render(opacity, material, lit, rays, sky, threshold, min_transmittance)
            )
        case "triton":
            from voxsds.render import triton_cuda

            return Rendering(
                *triton_cuda.render(opacity, material, lit, rays, sky, threshold, min_transmittance)
            )
        case "nvdiffrast":
            from voxsds.render import nvdiffrast_cuda

            return Rendering(
                *nvdiffrast_cuda.render(opacity, material, lit, rays, sky, threshold, min_transmittance)
            )
        case _:
            from voxsds.render import reference

            return Rendering(*reference.render(opacity, material, lit, rays, sky, threshold))


def first_hit(
    opacity: Float[Tensor, "X Y Z"], rays: RayBundle, *, threshold: float = 0.5, backend: str = "auto"
) -> Hits:
    """The first voxel along each ray whose opacity is over `threshold`, and the face seen of it."""
    match choose_backend(backend, opacity.device):
        case "numba":
            from voxsds.render import numba_cpu

            return Hits(*numba_cpu.first_hit(opacity, rays, threshold))
        case "triton":
            from voxsds.render import triton_cuda

            return Hits(*triton_cuda.first_hit(opacity, rays, threshold))
        case "nvdiffrast":
            from voxsds.render import nvdiffrast_cuda

            return Hits(*nvdiffrast_cuda.first_hit(opacity, rays, threshold))
        case _:
            from voxsds.render import reference

            return Hits(*reference.first_hit(opacity, rays, threshold))


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
