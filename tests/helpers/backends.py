"""The backends as tests take them: on a GPU if there is one, else as near to it as this machine gets.

Without a GPU, Triton's kernels run in its interpreter, and nvdiffrast's part is taken by
`software_raster`. With REQUIRE_CUDA=1 nothing is replaced or skipped: what is missing fails.
"""

import importlib.util
import os

import pytest
import torch

from tests.helpers import software_raster
from voxsds.gradcheck.backends import Agreement, Drawn, Scene, agreement

GPU = torch.cuda.is_available()
REQUIRED = os.environ.get("REQUIRE_CUDA") == "1"
ON_GPU = torch.device("cuda" if GPU or REQUIRED else "cpu")  # where Triton and nvdiffrast draw

needs_triton = pytest.mark.skipif(
    not importlib.util.find_spec("triton") and not REQUIRED, reason="needs Triton"
)
needs_nvdiffrast = pytest.mark.skipif(
    GPU and not importlib.util.find_spec("nvdiffrast") and not REQUIRED, reason="needs nvdiffrast"
)
TRITON = pytest.param("triton", marks=needs_triton)
NVDIFFRAST = pytest.param("nvdiffrast", marks=needs_nvdiffrast)
COMPARED = ["numba", TRITON, NVDIFFRAST]  # with the reference

# A pixel whose middle lies within 1/32 pixel of an edge may be taken by the voxel beside it. Where voxels
# are as small as a pixel, the stand-in has 0.83; where they are 8 pixels, 0.99.
LEAST_SAME_WALK = {"numba": 1.0, "triton": 1.0, "nvdiffrast": 0.8}


def device_of(backend: str) -> torch.device:
    return ON_GPU if backend in ("triton", "nvdiffrast") else torch.device("cpu")


def stand_in(backend: str, monkeypatch) -> None:
    """Let 'nvdiffrast' draw on the CPU where there is no GPU."""
    if backend == "nvdiffrast" and not GPU and not REQUIRED:
        software_raster.install(monkeypatch)
        monkeypatch.setattr("voxsds.render.nvdiffrast_cuda.problem", lambda device: None)


def compared(scene: Scene, backend: str, against: str = "reference") -> Agreement:
    return agreement(Drawn(scene, backend, device_of(backend)), Drawn(scene, against, device_of(against)))


def assert_agrees(found: Agreement, backend: str, of_image: float, of_products: float) -> None:
    """That the walks are the same, but for what rasterising costs, and errors at most as given."""
    assert found.same_walk >= LEAST_SAME_WALK[backend] and found.wrong_hits == 0, found
    assert found.reach is not None or backend == "nvdiffrast", found
    assert max(found.color, found.alpha, found.reach or 0.0) <= of_image, found
    assert max(found.by_opacity, found.by_material) <= of_products, found
