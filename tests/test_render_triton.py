"""The Triton backend against numba: on a GPU if there is one, else small scenes in Triton's interpreter."""

import importlib.util
import os

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from tests.helpers.scenes import LIT, SHAPE, looking, parallel, random_field, rays_by_name
from voxsds.cameras import RayBundle
from voxsds.field import Field
from voxsds.render import choose_backend, first_hit, render

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Worst errors seen in the interpreter: images 2e-16 and 1e-7, products 2e-15 and 1e-6.
TOLERANCE = {torch.float64: (1e-14, 1e-13), torch.float32: (1e-6, 1e-5)}

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("triton") and os.environ.get("REQUIRE_CUDA") != "1", reason="needs Triton"
)


def on_device(field: Field, rays: RayBundle) -> tuple[Field, RayBundle]:
    field = Field(*(t.detach().to(DEVICE) for t in field))
    return field, RayBundle(rays.eye.to(DEVICE), rays.basis.to(DEVICE), rays.width, rays.height)


def image_and_products(field, rays, backend, **knobs):
    """(rgba, reach, products of a fixed cotangent with the Jacobians of opacity and material), on the CPU."""
    if backend == "triton":
        field, rays = on_device(field, rays)
    opacity, material = (t.clone().requires_grad_() for t in field)
    drawn = render(opacity, material, LIT, rays, backend=backend, **knobs)
    shape = tuple(drawn.rgba.shape)
    cotangent = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    products = torch.autograd.grad(drawn.rgba, (opacity, material), cotangent.to(drawn.rgba))
    return [t.detach().cpu() for t in (drawn.rgba, drawn.reach, *products)]


def assert_agree(actual, expected):
    dtype = expected[0].dtype
    of_image, of_products = TOLERANCE[dtype]
    for got, want, tolerance in zip(
        actual, expected, (of_image, of_image, of_products, of_products), strict=True
    ):
        assert got.dtype == want.dtype == dtype
        assert torch.allclose(got, want, rtol=0, atol=tolerance), (got - want).abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", rays_by_name())
def test_triton_draws_and_differentiates_as_numba(name, dtype):
    rays, field = rays_by_name()[name], random_field(dtype=dtype)
    expected = image_and_products(field, rays, "numba", threshold=0.3)
    assert_agree(image_and_products(field, rays, "triton", threshold=0.3), expected)


@pytest.mark.parametrize("name", rays_by_name())
def test_triton_hits_the_same_voxels_through_the_same_faces(name):
    rays, field = rays_by_name()[name], random_field()
    expected = first_hit(field.opacity, rays, backend="numba")
    there, rays = on_device(field, rays)
    actual = first_hit(there.opacity, rays, backend="triton")
    assert torch.equal(actual.voxel.cpu(), expected.voxel)
    assert torch.equal(actual.face.cpu(), expected.face)


lattice = st.tuples(*[st.integers(-2, 2 * n + 2).map(lambda k: k / 2) for n in SHAPE])
directions = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


@settings(max_examples=12)
@given(start=lattice, direction=directions, seed=st.integers(0, 99))
def test_walking_back_undoes_the_walk_through_edges_and_corners(start, direction, seed):
    rays, field = parallel([start], direction), random_field(seed=seed)
    expected = image_and_products(field, rays, "numba", min_transmittance=0.0)
    assert_agree(image_and_products(field, rays, "triton", min_transmittance=0.0), expected)


@settings(max_examples=12)
@given(
    opacities=st.lists(
        st.one_of(st.sampled_from([0.0, 0.5, 0.99, 0.99999, 1.0]), st.floats(0, 1)), min_size=2, max_size=16
    ),
    stop=st.sampled_from([1e-4, 1e-2, 0.0, -torch.inf]),
)
def test_rays_end_at_the_same_voxel_and_look_as_far_behind_it(opacities, stop):
    material = random_field((1, 1, len(opacities))).material
    field = Field(torch.tensor(opacities, dtype=torch.float64).reshape(1, 1, -1), material)
    rays = parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0))
    expected = image_and_products(field, rays, "numba", min_transmittance=stop)
    assert_agree(image_and_products(field, rays, "triton", min_transmittance=stop), expected)


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for in this mode
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_deterministic_gradients_are_the_same_bits_and_as_exact(deterministic, dtype):
    rays, field = rays_by_name()["outside"], random_field(dtype=dtype)
    runs = [image_and_products(field, rays, "triton") for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert_agree(runs[0], image_and_products(field, rays, "numba"))  # worst seen: 5e-15 and 5e-7


@pytest.mark.parametrize("broken", [0, 1], ids=Field._fields)
def test_fixed_point_hides_no_number_that_is_not_finite(deterministic, broken):
    field = random_field()
    field[broken][2, 2, 3] = torch.nan
    products = image_and_products(field, rays_by_name()["outside"], "triton")[2:]
    assert all(product.isnan().all() for product in products)


def test_a_number_that_is_not_finite_is_seen():
    field = random_field()
    field = field._replace(opacity=torch.zeros_like(field.opacity))
    field.opacity[2, 2, 3] = torch.nan
    field, rays = on_device(field, looking([(9.0, 6.0, 9.0)], (2.5, 2.5, 3.5)))
    image = render(*field, LIT, rays, backend="triton").rgba
    assert torch.isnan(image).any() and torch.isfinite(image).any()


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
    field, rays = on_device(
        random_field((16, 12, 16), dtype=torch.float32), looking([(30.0, 20.0, 28.0)], (8, 5, 8))
    )
    field, lit = Field(*(t.requires_grad_() for t in field)), LIT.to("cuda", torch.float32)

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
