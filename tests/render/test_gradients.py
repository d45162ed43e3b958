"""Derivatives of both backends against differences, at ordinary and at singular points."""

import pytest
import torch

from tests.helpers.scenes import LIT, SHAPE, SOLIDS, looking, parallel, random_field, rays_by_name
from voxsds.render.renderer import render
from voxsds.world.field import Field

BACKENDS = ["reference", "numba"]
ALL_DRAWN = -1.0  # a threshold under which the image is a polynomial in the opacities, also below 0


def weighted(field, rays, cotangent, backend, threshold=0.0):
    """The image's product with `cotangent`: a scalar to differentiate."""
    stop = 0.0 if threshold >= 0 else -torch.inf  # past 1 an opacity makes the transmittance negative
    drawn = render(*field, LIT, rays, threshold=threshold, min_transmittance=stop, backend=backend)
    return (drawn.rgba * cotangent).sum()


def gradients(field, rays, cotangent, backend, threshold=0.0):
    """Derivatives of `weighted` with opacity and material."""
    leaves = Field(*(t.clone().requires_grad_() for t in field))
    weighted(leaves, rays, cotangent, backend, threshold).backward()
    assert leaves.opacity.grad is not None and leaves.material.grad is not None
    return Field(leaves.opacity.grad, leaves.material.grad)


def cotangent_of(rays, seed=1):
    shape = (rays.eye.shape[0], 4, rays.height, rays.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", rays_by_name())
def test_derivative_along_a_direction_is_the_central_difference(name, backend):
    rays, field = rays_by_name()[name], random_field()  # 20 % of the opacities are 0, 10 % are 1
    cotangent, h = cotangent_of(rays), 1e-5
    gradient = gradients(field, rays, cotangent, backend)
    generator = torch.Generator().manual_seed(2)
    for i in range(2):
        step = torch.randn(field[i].shape, generator=generator, dtype=torch.float64)
        ends = [
            weighted(
                field._replace(**{Field._fields[i]: field[i] + s * step}), rays, cotangent, backend, ALL_DRAWN
            )
            for s in (h, -h)
        ]
        difference = float(ends[0] - ends[1]) / (2 * h)
        derivative = float((gradient[i] * step).sum())
        assert derivative == pytest.approx(difference, rel=1e-7, abs=1e-7)  # worst seen: 2e-9
        assert (derivative == 0.0) == (name == "sees nothing")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_every_voxel_of_an_empty_grid_knows_what_a_block_there_would_do(backend, threshold):
    field = random_field()._replace(opacity=torch.zeros(SHAPE, dtype=torch.float64))
    rays = rays_by_name()["outside"]
    cotangent = cotangent_of(rays)
    gradient = gradients(field, rays, cotangent, backend, threshold).opacity
    assert (gradient != 0).float().mean() > 0.8
    assert gradients(field, rays, cotangent, backend, threshold).material.abs().max() == 0
    empty = weighted(field, rays, cotangent, backend, threshold)
    for voxel in [(0, 0, 0), (2, 1, 3), (4, 3, 5), (1, 3, 0)]:
        filled = field.opacity.clone()
        filled[voxel] = 1.0
        change = weighted(field._replace(opacity=filled), rays, cotangent, backend, threshold) - empty
        assert float(gradient[voxel]) == pytest.approx(float(change), abs=1e-12)


@pytest.mark.parametrize("soft", [False, True], ids=["opaque world", "soft world"])
def test_adding_or_removing_a_block_changes_the_image_by_what_the_gradient_said(soft):
    field = random_field()
    if not soft:
        field = field._replace(opacity=(field.opacity > 0.6).to(torch.float64))
    rays = looking([(9.3, 7.1, 10.2), (1.2, 8.0, -3.0)], (2.5, 2.0, 3.0), 9, 9)
    cotangent = cotangent_of(rays)
    gradient = gradients(field, rays, cotangent, "numba", 0.02).opacity
    before = weighted(field, rays, cotangent, "numba", 0.02)
    changed = 0
    for voxel in torch.cartesian_prod(*[torch.arange(n) for n in SHAPE]).tolist():
        old = float(field.opacity[tuple(voxel)])
        old = old if old > 0.02 else 0.0  # as it is drawn
        for new in (0.0, 1.0):
            opacity = field.opacity.clone()
            opacity[tuple(voxel)] = new
            change = float(weighted(field._replace(opacity=opacity), rays, cotangent, "numba", 0.02) - before)
            said = float(gradient[tuple(voxel)]) * (new - old)
            assert said == pytest.approx(change, abs=1e-12)
            changed += change != 0
    assert changed > 40


def test_the_block_that_ends_a_ray_knows_the_exact_colour_behind_it():
    # along z: stone (opaque), empty, snow at .5, sand (opaque); the default early stop is on
    opacity = torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64).reshape(1, 1, 4).requires_grad_()
    material = torch.eye(SOLIDS, dtype=torch.float64)[[2, 0, 4, 5]].reshape(1, 1, 4, SOLIDS)
    rgba = render(opacity, material, LIT, parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0))).rgba
    rgba[0, 0, 0, 0].backward()
    stone, snow, sand = (float(LIT[s, 5, 0]) for s in (2, 4, 5))
    assert rgba[0, 0, 0, 0].item() == stone
    assert opacity.grad is not None
    behind = 0.5 * snow + 0.5 * sand
    assert opacity.grad.ravel().tolist() == pytest.approx([stone - behind, 0, 0, 0], abs=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_opaque_voxels_in_a_row_are_no_singular_point(backend):
    opacity = torch.tensor([0.5, 1.0, 1.0, 0.25], dtype=torch.float64).reshape(1, 1, 4)
    material = torch.eye(SOLIDS, dtype=torch.float64)[[0, 1, 2, 3]].reshape(1, 1, 4, SOLIDS)
    field, rays = Field(opacity, material), parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0))
    cotangent = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 4, 1, 1).to(torch.float64)
    color = LIT[:4, 5, 0].tolist()
    gradient = gradients(field, rays, cotangent, backend)
    expected = [color[0] - color[1], 0.5 * (color[1] - color[2]), 0.0, 0.0]
    assert gradient.opacity.ravel().tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_under_the_threshold_a_voxel_is_empty_but_feels_the_derivative_at_zero(backend):
    field, rays, threshold = random_field(seed=4), rays_by_name()["outside"], 0.4
    cotangent = cotangent_of(rays)
    faint = field.opacity <= threshold
    emptied = field._replace(opacity=torch.where(faint, 0.0, field.opacity))
    assert faint.float().mean() > 0.3
    assert weighted(field, rays, cotangent, backend, threshold) == weighted(emptied, rays, cotangent, backend)
    gradient = gradients(field, rays, cotangent, backend, threshold)
    at_zero = gradients(emptied, rays, cotangent, backend, ALL_DRAWN)
    assert torch.allclose(gradient.opacity, at_zero.opacity, rtol=0, atol=1e-12)
    assert (gradient.material[faint] == 0).all() and (gradient.material[~faint] != 0).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_alpha_gets_the_exact_derivative(backend):
    opacity = torch.tensor([0.5, 0.25, 0.0], dtype=torch.float64).reshape(1, 1, 3)
    field = Field(opacity, torch.eye(SOLIDS, dtype=torch.float64)[[0, 1, 2]].reshape(1, 1, 3, SOLIDS))
    cotangent = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(1, 4, 1, 1).to(torch.float64)
    gradient = gradients(field, parallel([(0.5, 0.5, -1.0)], (0.0, 0.0, 1.0)), cotangent, backend)
    assert gradient.opacity.ravel().tolist() == pytest.approx([0.75, 0.5, 0.375])  # prod of the others' 1 - a
    assert gradient.material.abs().max() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_voxel_that_holds_the_camera_is_neither_drawn_nor_changed(backend):
    field = random_field()
    field.opacity[2, 1, 3] = 1.0
    rays = looking([(2.3, 1.7, 3.4)], (4.0, 1.0, 0.5))
    cotangent = cotangent_of(rays)
    gradient = gradients(field, rays, cotangent, backend)
    assert gradient.opacity[2, 1, 3] == 0 and (gradient.material[2, 1, 3] == 0).all()
    without = field.opacity.clone()
    without[2, 1, 3] = 0.0
    hidden = weighted(field._replace(opacity=without), rays, cotangent, backend)
    assert weighted(field, rays, cotangent, backend) == hidden
    assert gradient.opacity.abs().max() > 0


def test_neither_light_nor_background_nor_reach_takes_part_in_the_gradient():
    field = Field(*(t.requires_grad_() for t in random_field()))
    lit, background = LIT.clone().requires_grad_(), torch.ones(3, dtype=torch.float64, requires_grad=True)
    drawn = render(*field, lit, rays_by_name()["outside"], background=background, backend="numba")
    drawn.rgba.sum().backward()
    assert field.opacity.grad is not None and lit.grad is None and background.grad is None
    assert not drawn.reach.requires_grad
