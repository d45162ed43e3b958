"""What holds for the numba backend alone; its images and gradients: test_parity.py."""

import tracemalloc

import torch

from tests.helpers.scenes import LIT, looking, random_field
from voxsds.gradcheck.backends import Drawn, Scene


def image_and_products(scene):
    """(rgba, reach, products of a fixed cotangent with the Jacobians of opacity and material)."""
    drawn = Drawn(scene, "numba")
    cotangent = torch.randn(drawn.rgba.shape, generator=torch.Generator().manual_seed(5))
    return drawn.rgba, drawn.reach, *drawn.products(cotangent)


def test_threads_and_repetition_change_no_bit():
    field = random_field((16, 12, 16), dtype=torch.float32)
    rays = looking([(30.0, 20.0, 28.0), (-9.0, 14.0, 3.0)], (8.0, 5.0, 8.0), 33, 29)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        results.append(image_and_products(Scene("", field, LIT, rays, threshold=0.05)))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_memory_of_a_backward_is_a_few_grids_and_images():
    field = random_field((4, 4, 64))
    scene = Scene("", field, LIT, looking([(2.0, 2.0, -9.0)], (2.0, 2.0, 9.0), 64, 64))
    image_and_products(scene)
    tracemalloc.start()
    image_and_products(scene)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    grid, image = field.opacity.numel() * 8 * 8, 64 * 64 * 4 * 8
    assert peak < 8 * (grid + image) < 64 * 64 * 72 * 16  # what a record of every ray would take
