"""Every backend against the reference: discrete results exactly, continuous ones with the measured error."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from teacher.worlds.materials import ENGINE
from teacher.worlds.world import generate
from tests.helpers.backends import (
    COMPARED,
    GPU,
    NVDIFFRAST,
    TRITON,
    assert_agrees,
    compared,
    device_of,
    stand_in,
)
from tests.helpers.scenes import LIT, SHAPE, SOLIDS, looking, parallel, random_field, rays_by_name
from voxsds.captions.styles import TEACHER
from voxsds.gradcheck.backends import Drawn, Scene, dissolved
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.world.datasets import read_dataset
from voxsds.world.field import Field, solid_field
from voxsds.world.maps import read_map

# Worst errors seen on an AMD EPYC, Triton interpreted and nvdiffrast's rasteriser replaced:
# images 6e-16 and 1.2e-7, products 5e-15 and 5e-7 of their largest entry.
TOLERANCE = {torch.float64: (1e-14, 1e-13), torch.float32: (1e-6, 1e-5)}
NOT_RASTERISED = ("along the axes", "on a plane between voxels")


@pytest.fixture
def backend(request, monkeypatch):
    stand_in(request.param, monkeypatch)
    return request.param


def every_situation():
    """(backend, name of its rays): nvdiffrast has no rays in one plane, and sees no face that it lies in."""
    for backend in COMPARED:
        for name in rays_by_name():
            if backend is not NVDIFFRAST or name not in NOT_RASTERISED:
                values = (backend, name) if isinstance(backend, str) else (*backend.values, name)
                yield pytest.param(*values, marks=() if isinstance(backend, str) else backend.marks)


@pytest.mark.parametrize(("dtype", "threshold"), [(torch.float64, 0.0), (torch.float32, 0.3)])
@pytest.mark.parametrize(("backend", "name"), [*every_situation()], indirect=["backend"])
def test_images_hits_and_gradients_are_those_of_the_reference(backend, name, dtype, threshold):
    rays = rays_by_name(16 if backend == "nvdiffrast" and GPU else 1)[name]  # its corners snap to a lattice
    scene = Scene(name, random_field(dtype=dtype), LIT, rays, threshold)
    assert_agrees(compared(scene, backend), backend, *TOLERANCE[dtype])


def test_numbers_come_back_in_the_precision_of_the_field():
    for dtype in (torch.float64, torch.float32):
        drawn = Drawn(Scene("", random_field(dtype=dtype), LIT, rays_by_name()["outside"]), "numba")
        products = drawn.products(torch.ones_like(drawn.rgba))
        assert {t.dtype for t in (drawn.rgba, drawn.reach, *products)} == {dtype}


lattice = st.tuples(*[st.integers(-2, 2 * n + 2).map(lambda k: k / 2) for n in SHAPE])
directions = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


@pytest.mark.parametrize(
    ("backend", "examples"), [("numba", 40), pytest.param("triton", 6, marks=TRITON.marks)]
)
def test_backends_agree_where_rays_run_through_edges_and_corners(backend, examples):
    @settings(max_examples=examples)
    @given(starts=st.lists(lattice, min_size=1, max_size=3), direction=directions, seed=st.integers(0, 99))
    def agrees(starts, direction, seed):
        scene = Scene("", random_field(seed=seed), LIT, parallel(starts, direction))
        assert_agrees(compared(scene, backend), backend, 1e-14, 1e-13)

    agrees()


def a_world(kind: str, seed: int) -> Field:
    blocks = generate(seed, TEACHER, (16, 12, 16)).blocks.astype(int)
    return solid_field(blocks, SOLIDS, torch.float64) if kind == "hard" else dissolved(blocks, SOLIDS)


def a_view(backend: str):
    """As large as the backend can draw in a test: all of a world from a corner above."""
    side = 160 if GPU and device_of(backend).type == "cuda" else {"numba": 32}.get(backend, 12)
    return looking([(22.3, 17.1, 25.2)], (8.0, 4.0, 8.0), side + side // 4, side)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("backend", COMPARED, indirect=True)
def test_generated_worlds_are_drawn_and_differentiated_as_by_the_reference(backend, kind):
    scene = Scene(kind, a_world(kind, 1), LIT, a_view(backend), threshold=0.05)
    against = "numba" if GPU and backend != "numba" else "reference"
    assert_agrees(compared(scene, backend, against), backend, 1e-14, 1e-13)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("backend", [TRITON, NVDIFFRAST], indirect=True)
def test_rays_stopped_early_end_where_numba_ends_them(backend, kind):
    scene = Scene(kind, a_world(kind, 3), LIT, a_view(backend), threshold=0.05, stop=0.02)
    assert_agrees(compared(scene, backend, "numba"), backend, 1e-14, 1e-13)


def shipped(number: int, kind: str, height: int) -> Scene:
    world = read_map(f"maps/{number}/map.json", ENGINE)
    camera = read_dataset(Path(f"datasets/{number}")).cameras[3]
    rays = ray_bundle(
        [camera.resized(round(height * camera.width / camera.height), height)], world.frame, torch.float64
    )
    solids = len(world.palette) - 1
    field = (
        solid_field(world.blocks, solids, torch.float64)
        if kind == "hard"
        else dissolved(world.blocks, solids)
    )
    return Scene(kind, field, lit_faces(world.palette), rays, threshold=0.05)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("number", [1, 2])
def test_shipped_maps_are_drawn_by_numba_as_by_the_reference(number, kind):
    assert_agrees(compared(shipped(number, kind, 24), "numba"), "numba", 1e-14, 1e-13)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("backend", [TRITON, NVDIFFRAST], indirect=True)
def test_shipped_maps_are_drawn_on_the_gpu_as_by_numba(backend, number, kind):
    found = compared(shipped(number, kind, 512), backend, "numba")
    if backend == "nvdiffrast":  # map 2 has voxels of 6 pixels
        assert found.same_walk > 0.6 and found.wrong_hits == 0 and found.worst() < 1e-13, found
    else:
        assert_agrees(found, backend, 1e-14, 1e-13)


@pytest.mark.parametrize("backend", ["reference", *COMPARED], indirect=True)
def test_a_batch_is_its_views_one_by_one(backend):
    field = random_field()
    eyes = [(9.0, 6.0, 9.5), (2.2, 1.1, 3.3), (-5.0, 3.0, 2.0)]
    batches = [looking(some, (2.0, 2.0, 3.0)) for some in (eyes, *([eye] for eye in eyes))]
    together, *alone = (Drawn(Scene("", field, LIT, rays), backend, device_of(backend)) for rays in batches)
    assert torch.equal(together.rgba, torch.cat([one.rgba for one in alone]))
    assert torch.equal(together.reach, torch.stack([one.reach for one in alone]).amax(dim=0))


@pytest.mark.parametrize("backend", ["reference", *COMPARED], indirect=True)
def test_a_number_that_is_not_finite_is_seen(backend):
    field = random_field()
    field = field._replace(opacity=torch.zeros_like(field.opacity))
    field.opacity[2, 2, 3] = torch.nan
    scene = Scene("", field, LIT, looking([(9.0, 6.0, 9.0)], (2.5, 2.5, 3.5)))
    image = Drawn(scene, backend, device_of(backend)).rgba
    assert torch.isnan(image).any() and torch.isfinite(image).any()


opacity_lists = st.lists(
    st.one_of(st.sampled_from([0.0, 0.5, 0.99, 0.99999, 1.0]), st.floats(0, 1)), min_size=2, max_size=24
)


def a_row(opacities, stop):
    """One ray through voxels of the given opacities."""
    material = random_field((1, 1, len(opacities))).material
    field = Field(torch.tensor(opacities, dtype=torch.float64).reshape(1, 1, -1), material)
    return Scene("", field, LIT, parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0)), stop=stop)


@settings(max_examples=60)
@given(opacities=opacity_lists, channel=st.integers(0, 3))
def test_a_ray_that_stops_early_is_off_by_no_more_than_its_bound(opacities, channel):
    stop, cotangent = 1e-2, torch.zeros(1, 4, 1, 1, dtype=torch.float64)
    cotangent[0, channel] = 1.0
    exact, stopped = (Drawn(a_row(opacities, stop), name) for name in ("reference", "numba"))
    assert (exact.rgba - stopped.rgba).abs().max() <= stop + 1e-12
    difference = exact.products(cotangent)[0] - stopped.products(cotangent)[0]
    assert difference.abs().max() <= stop + 1e-12


@pytest.mark.parametrize("backend", [TRITON])
@pytest.mark.parametrize("stop", [1e-4, 1e-2, 0.0, -torch.inf])
def test_rays_of_triton_look_as_far_behind_their_end_as_those_of_numba(backend, stop):
    @settings(max_examples=4)
    @given(opacities=opacity_lists)
    def agrees(opacities):
        assert_agrees(compared(a_row(opacities, stop), backend, "numba"), backend, 1e-14, 1e-13)

    agrees()


def test_unknown_backend_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="known are auto, reference, numba, triton, nvdiffrast"):
        render(*random_field(), LIT, rays_by_name()["outside"], backend="cuda")


def test_mixed_precision_is_refused():
    field = random_field()
    with pytest.raises(ValueError, match="both must be float32 or both float64"):
        render(field.opacity, field.material.float(), LIT, rays_by_name()["outside"])
