"""What an image of blocks must look like, checked against hand-computed pixels and a brute-force tracer."""

import numpy as np
import pytest
import torch

from tests.helpers.scenes import LIT, SHAPE, SOLIDS, looking, parallel, random_field, rays_by_name
from voxsds.render.light import SKY
from voxsds.render.renderer import first_hit, render
from voxsds.world.field import Field, solid_field

BACKENDS = ["reference", "numba"]
FORWARD = (0.0, 0.0, 1.0)  # enters through faces 5 (-z)


def column(opacities, materials) -> Field:
    """A 1 x 1 x n grid along z."""
    opacity = torch.tensor(opacities, dtype=torch.float64).reshape(1, 1, -1)
    material = torch.eye(SOLIDS, dtype=torch.float64)[list(materials)]
    return Field(opacity, material.reshape(1, 1, -1, SOLIDS))


def brute_force(blocks, eye, direction):
    """(voxel, face) of the nearest block on a ray: a slab test of every block, no walk."""
    best = (np.inf, -1, -1)
    for cell in np.argwhere(blocks > 0):
        with np.errstate(divide="ignore"):
            planes = np.stack([cell - eye, cell + 1 - eye]) / direction
        near, far = planes.min(axis=0), planes.max(axis=0)
        if 0 <= near.max() < far.min() and near.max() < best[0]:
            axis = int(near.argmax())
            face = 2 * axis + int(direction[axis] > 0)
            best = (near.max(), int(np.ravel_multi_index(cell, blocks.shape)), face)
    return best[1:]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_opaque_worlds_equal_a_brute_force_first_hit_renderer(seed, backend):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(1, SOLIDS + 1, SHAPE) * (rng.random(SHAPE) < (0.1, 0.3, 0.6)[seed])
    eyes = [rng.uniform(-4, 10, 3), rng.uniform(0.1, 0.9, 3) * SHAPE, rng.uniform(5.5, 12, 3)]
    rays = looking(eyes, rng.uniform(0.3, 0.7, 3) * SHAPE, 8, 6)
    field = solid_field(blocks, SOLIDS, torch.float64)
    image = render(*field, LIT, rays, threshold=0.05, backend=backend).rgba.numpy()
    hits = first_hit(field.opacity, rays, backend=backend)
    directions = rays.directions().numpy()
    seen = 0
    for view, row, col in np.ndindex(*hits.voxel.shape):
        voxel, face = brute_force(blocks, rays.eye[view].numpy(), directions[view, row, col])
        assert (int(hits.voxel[view, row, col]), int(hits.face[view, row, col])) == (voxel, face)
        hit = voxel >= 0
        color = LIT[int(blocks.ravel()[voxel]) - 1, face].numpy() if hit else SKY
        assert image[view, :, row, col] == pytest.approx([*color, float(hit)], abs=1e-12)
        seen += hit
    assert 20 < seen < hits.voxel.numel()


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_opaque_grey_before_white_is_three_quarters(backend):
    lit = torch.full((1, 6, 3), 0.5, dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    white = torch.ones(3, dtype=torch.float64)
    rays = parallel([(0.5, 0.5, -1.0)], FORWARD)
    drawn = render(one / 2, one[..., None], lit, rays, background=white, backend=backend)
    assert drawn.rgba.ravel().tolist() == [0.75, 0.75, 0.75, 0.5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_compositing_is_the_sum_on_paper(backend):
    a, c = [0.5, 0.0, 0.2, 0.75], LIT[[2, 0, 4, 1], 5].numpy()
    rgba = render(*column(a, [2, 0, 4, 1]), LIT, parallel([(0.5, 0.5, -1.0)], FORWARD), backend=backend).rgba
    expected = 0.5 * c[0] + 0.5 * 0.2 * c[2] + 0.5 * 0.8 * 0.75 * c[3] + 0.5 * 0.8 * 0.25 * SKY
    assert rgba.ravel().tolist() == pytest.approx([*expected, 0.9], abs=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("face", range(6))
def test_a_ray_sees_the_face_it_enters(face, backend):
    axis, towards_plus = divmod(face, 2)
    direction, start = np.zeros(3), np.full(3, 0.5)
    direction[axis] = 1.0 if towards_plus else -1.0  # faces with odd numbers look towards minus
    start[axis] = -2.0 if towards_plus else 3.0
    rays = parallel([start], direction)
    assert first_hit(torch.ones(1, 1, 1), rays, backend=backend).face.item() == face
    rgba = render(*column([1.0], [0]), LIT, rays, backend=backend).rgba
    assert rgba[0, :3, 0, 0].tolist() == LIT[0, face].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_behind_an_opaque_voxel_is_seen(backend):
    rays = parallel([(0.5, 0.5, -1.0)], FORWARD)
    plain, busy = column([0.3, 1.0, 0.0, 0.0], [0, 1, 0, 0]), column([0.3, 1.0, 0.9, 1.0], [0, 1, 5, 6])
    images = []
    for field in (plain, busy):
        opacity, material = field.opacity.requires_grad_(), field.material.requires_grad_()
        drawn = render(opacity, material, LIT, rays, backend=backend)
        drawn.rgba.sum().backward()
        images.append(drawn.rgba)
        assert opacity.grad is not None and material.grad is not None
        assert (opacity.grad[..., 2:] == 0).all() and (material.grad[..., 2:, :] == 0).all()
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_opacity_at_the_threshold_is_not_drawn_and_one_above_is(dtype, backend):
    limit = torch.tensor(0.05, dtype=dtype)
    for opacity, drawn in ((limit, False), (torch.nextafter(limit, torch.ones_like(limit)), True)):
        field = column([0.0], [0])
        rgba = render(
            field.opacity.to(dtype) + opacity,
            field.material.to(dtype),
            LIT,
            parallel([(0.5, 0.5, -1.0)], FORWARD),
            threshold=0.05,
            backend=backend,
        ).rgba
        assert bool(rgba[0, 3, 0, 0] > 0) == drawn


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ray_along_a_side_belongs_to_the_grid_only_on_its_low_side(backend):
    ones = torch.ones(1, 1, 3)
    low, high = (parallel([(at, 0.5, -1.0)], FORWARD) for at in (0.0, 1.0))
    assert first_hit(ones, low, backend=backend).voxel.item() == 0
    assert first_hit(ones, high, backend=backend).voxel.item() == -1


@pytest.mark.parametrize("backend", BACKENDS)
def test_reach_is_the_transmittance_on_arrival(backend):
    field = column([0.5, 0.0, 0.25, 1.0, 0.3], [0] * 5)
    reach = render(*field, LIT, parallel([(0.5, 0.5, -1.0)], FORWARD), backend=backend).reach
    assert reach.ravel().tolist() == [1.0, 0.5, 0.5, 0.375, 0.0]
    both_ways = parallel([(0.5, 0.5, -1.0), (0.5, 0.5, 9.0)], FORWARD)
    both_ways.basis[1] *= -1
    reach = render(*field, LIT, both_ways, backend=backend).reach
    assert reach.ravel().tolist() == [1.0, 0.5, 0.5, 0.7, 1.0]  # the best of the two directions


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_camera_that_sees_nothing_draws_the_sky(backend):
    drawn = render(*random_field(), LIT, rays_by_name()["sees nothing"], backend=backend)
    assert (drawn.rgba[:, :3] == torch.as_tensor(SKY)[:, None, None]).all()
    assert drawn.rgba[:, 3].abs().max() == 0 and drawn.reach.max() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_camera_on_a_face_sees_the_block_before_it_and_not_the_one_behind(backend):
    field = column([1.0, 1.0, 1.0], [0, 1, 2])
    for direction, seen in (((0.0, 0.0, 1.0), 2), ((0.0, 0.0, -1.0), 1)):
        hit = first_hit(field.opacity, parallel([(0.5, 0.5, 2.0)], direction), backend=backend)
        assert hit.voxel.item() == seen


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wide_image_contains_the_square_one(backend):
    field = random_field()
    square, wide = (looking([(9.0, 6.0, 9.5)], (2.0, 2.0, 3.0), width, 8) for width in (8, 16))
    expected = render(*field, LIT, square, backend=backend).rgba
    image = render(*field, LIT, wide, backend=backend).rgba
    assert image.shape == (1, 4, 8, 16)
    assert torch.allclose(image[..., 4:12], expected, rtol=0, atol=1e-12)


def test_the_image_is_upright_and_not_mirrored():
    # from the south (+z) looking north: east (+x) is to the right, up is up
    blocks = np.zeros((3, 3, 3), int)
    blocks[2, 2, 1] = 1
    field = solid_field(blocks, SOLIDS, torch.float64)
    hits = first_hit(field.opacity, looking([(1.5, 1.5, 9.0)], (1.5, 1.5, 0.0), 20, 20)).voxel[0] >= 0
    rows, columns = torch.nonzero(hits, as_tuple=True)
    assert rows.numel() and rows.max() < 10 and columns.min() >= 10


def test_solid_field_draws_what_the_ids_say_and_refuses_ids_it_has_no_material_for():
    blocks = np.array([[[0, 1, 7]]])
    opacity, material = solid_field(blocks, SOLIDS)
    assert opacity.ravel().tolist() == [0, 1, 1] and opacity.dtype == torch.float32
    assert material.argmax(dim=-1).ravel().tolist() == [0, 0, 6]
    assert (material.sum(dim=-1) == 1).all()
    with pytest.raises(ValueError, match="known are 0..7"):
        solid_field(np.array([[[8]]]), SOLIDS)
