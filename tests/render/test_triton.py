"""What holds for the Triton backend alone; its images and gradients: test_parity.py."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.backends import ON_GPU, assert_agrees, needs_triton
from tests.helpers.scenes import LIT, looking, random_field, rays_by_name
from voxsds.gradcheck.backends import Drawn, Scene, agreement
from voxsds.render.renderer import choose_backend, render
from voxsds.world.field import Field

pytestmark = needs_triton


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for in this mode
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_deterministic_gradients_are_the_same_bits_and_as_exact(deterministic, dtype):
    scene = Scene("", random_field(dtype=dtype), LIT, rays_by_name()["outside"])
    runs = [Drawn(scene, "triton", ON_GPU) for _ in range(2)]
    cotangent = torch.randn(runs[0].rgba.shape, generator=torch.Generator().manual_seed(5))
    products = [run.products(cotangent) for run in runs]
    assert all(torch.equal(a, b) for a, b in zip(*products, strict=True))
    tolerance = {torch.float64: (1e-14, 1e-13), torch.float32: (1e-6, 1e-5)}[dtype]
    assert_agrees(agreement(runs[0], Drawn(scene, "numba")), "triton", *tolerance)


@pytest.mark.parametrize("broken", [0, 1], ids=Field._fields)
def test_fixed_point_hides_no_number_that_is_not_finite(deterministic, broken):
    field = random_field()
    field[broken][2, 2, 3] = torch.nan
    drawn = Drawn(Scene("", field, LIT, rays_by_name()["outside"]), "triton", ON_GPU)
    assert all(product.isnan().all() for product in drawn.products(torch.ones_like(drawn.rgba)))


def test_a_grid_on_the_cpu_is_refused_outside_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="'triton' is for CUDA, the grid is on cpu; use 'auto'"):
        choose_backend("triton", torch.device("cpu"))


def test_the_fastest_backend_on_cuda_is_triton():
    assert choose_backend("auto", torch.device("cuda")) == "triton"


@pytest.mark.cuda
@pytest.mark.parametrize("fixed", [False, True], ids=["fast", "deterministic"])
def test_a_step_can_be_captured_in_a_cuda_graph(fixed, request):
    if fixed:
        request.getfixturevalue("deterministic")
    scene = Scene(
        "", random_field((16, 12, 16), dtype=torch.float32), LIT, looking([(30.0, 20.0, 28.0)], (8, 5, 8))
    )
    eye, basis = scene.rays.eye.to("cuda"), scene.rays.basis.to("cuda")
    rays, lit = replace(scene.rays, eye=eye, basis=basis), LIT.to("cuda", torch.float32)
    # Leaves that no other stream has seen: a gradient that waits for one ends the capture.
    field = Field(*(part.to("cuda").requires_grad_() for part in scene.field))

    def step():
        image = render(*field, lit, rays, threshold=0.05).rgba
        return image, *torch.autograd.grad(image, field, torch.ones_like(image))

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        field.opacity.mul_(0.5)
    graph.replay()
    for got, want in zip(captured, step(), strict=True):
        assert torch.allclose(got, want, rtol=0, atol=0 if fixed else 1e-4 * float(want.abs().max()))
