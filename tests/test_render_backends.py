"""Every backend against the reference: discrete results exactly, continuous ones with the measured error."""

import tracemalloc

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from tests.helpers.scenes import LIT, SHAPE, looking, parallel, random_field, rays_by_name
from voxsds.render import first_hit, render

# Worst errors seen on an AMD EPYC: images 5e-16 and 2e-7, products with cotangents 4e-15 and 3e-6.
TOLERANCE = {torch.float64: (1e-14, 1e-13), torch.float32: (1e-6, 1e-5)}


def image_and_products(field, rays, backend, threshold=0.0):
    """(rgba, reach, vector-Jacobian products with opacity and material) for one fixed cotangent."""
    opacity, material = field.opacity.clone().requires_grad_(), field.material.clone().requires_grad_()
    drawn = render(opacity, material, LIT, rays, threshold=threshold, min_transmittance=0.0, backend=backend)
    generator = torch.Generator().manual_seed(5)
    cotangent = torch.randn(drawn.rgba.shape, generator=generator, dtype=torch.float64)
    drawn.rgba.backward(cotangent.to(drawn.rgba))
    assert opacity.grad is not None and material.grad is not None
    return drawn.rgba.detach(), drawn.reach, opacity.grad, material.grad


@pytest.mark.parametrize("threshold", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", rays_by_name())
def test_numba_draws_and_differentiates_as_the_reference(name, dtype, threshold):
    rays, field = rays_by_name()[name], random_field(dtype=dtype)
    expected = image_and_products(field, rays, "reference", threshold)
    actual = image_and_products(field, rays, "numba", threshold)
    of_image, of_products = TOLERANCE[dtype]
    for got, want, tolerance in zip(
        actual, expected, (of_image, of_image, of_products, of_products), strict=True
    ):
        assert got.dtype == want.dtype == dtype
        assert torch.allclose(got, want, rtol=0, atol=tolerance), (got - want).abs().max()


@pytest.mark.parametrize("name", rays_by_name())
def test_numba_hits_the_same_voxels_through_the_same_faces(name):
    rays, opacity = rays_by_name()[name], random_field().opacity
    expected, actual = (first_hit(opacity, rays, backend=backend) for backend in ("reference", "numba"))
    assert torch.equal(actual.voxel, expected.voxel)
    assert torch.equal(actual.face, expected.face)


lattice = st.tuples(*[st.integers(-2, 2 * n + 2).map(lambda k: k / 2) for n in SHAPE])
directions = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


@settings(max_examples=40, deadline=None)
@given(starts=st.lists(lattice, min_size=1, max_size=4), direction=directions, seed=st.integers(0, 99))
def test_backends_agree_where_rays_run_through_edges_and_corners(starts, direction, seed):
    rays, field = parallel(starts, direction), random_field(seed=seed)
    hits = [first_hit(field.opacity, rays, backend=backend) for backend in ("reference", "numba")]
    assert torch.equal(hits[0].voxel, hits[1].voxel) and torch.equal(hits[0].face, hits[1].face)
    expected, actual = (image_and_products(field, rays, backend) for backend in ("reference", "numba"))
    for got, want in zip(actual, expected, strict=True):
        assert torch.allclose(got, want, rtol=0, atol=1e-12)


def test_threads_and_repetition_change_no_bit():
    field = random_field((16, 12, 16), dtype=torch.float32)
    rays = looking([(30.0, 20.0, 28.0), (-9.0, 14.0, 3.0)], (8.0, 5.0, 8.0), 33, 29)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        results.append(image_and_products(field, rays, "numba", 0.05))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_batch_is_its_views_one_by_one(backend):
    field = random_field()
    eyes = [(9.0, 6.0, 9.5), (2.2, 1.1, 3.3), (-5.0, 3.0, 2.0)]
    together = render(*field, LIT, looking(eyes, (2.0, 2.0, 3.0)), backend=backend)
    alone = [render(*field, LIT, looking([eye], (2.0, 2.0, 3.0)), backend=backend) for eye in eyes]
    assert torch.equal(together.rgba, torch.cat([one.rgba for one in alone]))
    assert torch.equal(together.reach, torch.stack([one.reach for one in alone]).amax(dim=0))


@settings(max_examples=60, deadline=None)
@given(
    opacities=st.lists(
        st.one_of(st.sampled_from([0.0, 0.5, 0.99, 0.99999, 1.0]), st.floats(0, 1)), min_size=2, max_size=24
    ),
    channel=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_a_ray_that_stops_early_is_off_by_no_more_than_its_bound(opacities, channel, seed):
    stop, rays = 1e-2, parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0))
    material = random_field((1, 1, len(opacities)), seed).material
    results = []
    for backend in ("reference", "numba"):
        opacity = torch.tensor(opacities, dtype=torch.float64).reshape(1, 1, -1).requires_grad_()
        rgba = render(opacity, material, LIT, rays, min_transmittance=stop, backend=backend).rgba
        value = rgba[0, channel, 0, 0]
        results.append((value.detach(), torch.autograd.grad(value, opacity)[0]))
    (exact, exact_gradient), (value, gradient) = results
    assert (exact - value).abs() <= stop + 1e-12
    assert (exact_gradient - gradient).abs().max() <= stop + 1e-12


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_number_that_is_not_finite_is_seen(backend):
    field = random_field()
    opacity = torch.zeros_like(field.opacity)
    opacity[2, 2, 3] = torch.nan
    image = render(opacity, field.material, LIT, looking([(9.0, 6.0, 9.0)], (2.5, 2.5, 3.5)), backend=backend)
    assert torch.isnan(image.rgba).any() and torch.isfinite(image.rgba).any()


def test_unknown_backend_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="'cuda' is not known; known are auto, reference, numba, triton"):
        render(*random_field(), LIT, rays_by_name()["outside"], backend="cuda")


def test_mixed_precision_is_refused():
    field = random_field()
    with pytest.raises(ValueError, match="both must be float32 or both float64"):
        render(field.opacity, field.material.float(), LIT, rays_by_name()["outside"])


def test_memory_of_a_backward_is_a_few_grids_and_images():
    field = random_field((4, 4, 64))
    rays = looking([(2.0, 2.0, -9.0)], (2.0, 2.0, 9.0), 64, 64)
    image_and_products(field, rays, "numba")
    tracemalloc.start()
    image_and_products(field, rays, "numba")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    grid, image = field.opacity.numel() * 8 * 8, 64 * 64 * 4 * 8
    assert peak < 8 * (grid + image) < 64 * 64 * 72 * 16  # what a record of every ray would take
