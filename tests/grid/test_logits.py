"""The grid: what it draws is what it exports, and every level learns."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.worlds.materials import ENGINE, GRASS, STONE
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings, upsample

LEVELS = [(1,), (1, 2), (1, 2, 4), (1, 3, 5)]
MATERIALS = len(ENGINE)


def grid_of(
    blocks: np.ndarray, levels: tuple[int, ...] = (1, 2, 4), dtype=torch.float32, spread: float = 0.0
):
    """The grid of `blocks`, its residuals drawn with that standard deviation."""
    grid = DifferentiableVoxelGrid.from_blocks(blocks, MATERIALS, GridSettings(levels, 3.0, 4.0), dtype)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for residual in grid.parameters():
            residual.copy_(torch.randn(residual.shape, generator=draws, dtype=dtype) * spread)
    return grid


def random_blocks(seed: int, shape: tuple[int, int, int] = (6, 5, 7)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, MATERIALS, shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from(LEVELS))
def test_untouched_grid_is_its_map(seed, shape, levels):
    blocks = random_blocks(seed, shape)
    grid = grid_of(blocks, levels)
    opacity, material = grid.field(1.0, 1.0)
    assert np.array_equal(grid.blocks(), blocks)
    assert np.array_equal((opacity > 0.5).numpy(), blocks > 0)
    assert np.array_equal(material.argmax(-1).numpy()[blocks > 0] + 1, blocks[blocks > 0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(LEVELS))
def test_drawn_cold_is_what_is_exported(seed, levels):
    grid = grid_of(random_blocks(seed), levels, torch.float64, spread=3.0)
    opacity, material = grid.field(0.001, 0.001)
    drawn = torch.where(opacity > 0.5, material.argmax(-1) + 1, 0)
    assert np.array_equal(drawn.numpy(), grid.blocks())


@pytest.mark.parametrize("levels", LEVELS)
def test_field_is_the_formula(levels):
    grid = grid_of(random_blocks(3), levels, torch.float64, spread=2.0)
    opacity, material = grid.field(0.7, 1.3)
    p = torch.softmax(grid.material_logits / 1.3, dim=-1)
    expected = torch.sigmoid(grid.occupancy_logits / 0.7) * (1 - p[..., 0])
    torch.testing.assert_close(opacity, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(material, p[..., 1:] / (1 - p[..., :1]), rtol=1e-10, atol=1e-12)


def test_initial_logits_are_those_of_the_settings():
    blocks = np.array([[[0, STONE]]])
    grid = grid_of(blocks)
    assert grid.occupancy_logits.tolist() == [[[-3.0, 3.0]]]
    assert grid.material_logits[0, 0, 0].tolist() == [0.0] * MATERIALS
    assert grid.material_logits[0, 0, 1].tolist() == [4.0 if m == STONE else 0.0 for m in range(MATERIALS)]


def test_one_level_is_a_plain_grid():
    blocks = random_blocks(4)
    grid = grid_of(blocks, (1,), spread=1.0)
    occupancy, material = grid.occupancy_residuals[0], grid.material_residuals[0]
    assert occupancy.shape == (1, *blocks.shape) and material.shape == (MATERIALS, *blocks.shape)
    assert torch.equal(grid.occupancy_logits, grid.initial_occupancy + occupancy[0])
    assert torch.equal(grid.material_logits, (grid.initial_material + material).permute(1, 2, 3, 0))


@pytest.mark.parametrize("shape", [(8, 8, 8), (7, 5, 6)])
def test_gradients_reach_every_cell_of_every_level(shape):
    grid = grid_of(random_blocks(5, shape), (1, 2, 4), spread=0.5)
    opacity, material = grid.field(1.0, 1.0)
    draws = torch.Generator().manual_seed(2)
    weight = torch.randn(material.shape, generator=draws)
    (opacity.sum() + (material * weight).sum()).backward()
    for residual in grid.parameters():
        assert (residual.grad != 0).all(), tuple(residual.shape)


def test_upsampling_is_linear_between_cell_centres():
    line = torch.tensor([0.0, 4.0]).reshape(1, 2, 1, 1)
    assert upsample(line, 2, (4, 2, 2))[0, :, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert upsample(line, 2, (3, 1, 1))[0, :, 0, 0].tolist() == [0.0, 1.0, 3.0]  # cells keep their places


@pytest.mark.parametrize("levels", LEVELS)
def test_equal_residuals_move_all_voxels_alike(levels):
    grid = grid_of(random_blocks(6), levels)
    with torch.no_grad():
        for residual in grid.parameters():
            residual.fill_(0.5)
    moved = grid.occupancy_logits - grid.initial_occupancy
    torch.testing.assert_close(moved, torch.full_like(moved, 0.5 * len(levels)))


def test_being_sure_of_air_leaves_finite_gradients():
    grid = grid_of(np.full((2, 2, 2), GRASS), (1,))
    with torch.no_grad():
        grid.material_residuals[0][0] = 500.0
    opacity, material = grid.field(0.1, 0.15)
    assert (opacity == 0).all() and not grid.blocks().any()
    (opacity.sum() + material.square().sum()).backward()
    assert all(torch.isfinite(residual.grad).all() for residual in grid.parameters())


def test_statistics_of_a_known_world():
    blocks = np.zeros((2, 2, 2), int)
    blocks[0, 0, 0], blocks[1, 0, 1] = GRASS, STONE
    statistics = grid_of(blocks).statistics(ENGINE.names)
    sigma, own = 1 / (1 + np.exp(-3)), np.exp(4) / (np.exp(4) + 7)
    assert statistics["num_active_voxels"] == 2 and statistics["density"] == 0.25
    assert statistics["occupancy_mean"] == pytest.approx((2 * sigma + 6 * (1 - sigma)) / 8)
    assert statistics["occupancy_std"] == pytest.approx(np.std([sigma] * 2 + [1 - sigma] * 6))
    shares = statistics["material_distribution"]
    assert list(shares) == list(ENGINE.names) and sum(shares.values()) == pytest.approx(1)
    for name in ("Grass", "Stone"):
        assert shares[name] == pytest.approx((own + (1 - own) / 7) / 2)


def test_statistics_of_an_empty_world_are_numbers():
    statistics = grid_of(np.zeros((2, 2, 2), int)).statistics(ENGINE.names)
    assert statistics["num_active_voxels"] == 0 and statistics["material_distribution"] == {}


def test_gradients_before_a_backward_are_refused():
    with pytest.raises(ValueError, match="no gradients yet"):
        grid_of(random_blocks(7)).logit_gradients()


@pytest.mark.parametrize("levels", [(), (2, 4), (1, 4, 2), (1, 1)])
def test_levels_that_make_no_grid_are_named(levels):
    with pytest.raises(ValueError, match="grid.levels"):
        GridSettings(levels, 3.0, 4.0)


def test_logits_that_do_not_draw_the_map_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        GridSettings((1,), -3.0, 4.0)


def test_unknown_materials_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.9 of 8"):
        grid_of(np.array([[[0, 9]]]))


def test_written_voxels_are_plain_blocks_and_the_others_as_they_were():
    blocks = np.zeros((3, 4, 3), dtype=np.int64)
    blocks[:, :2] = 3
    grid = DifferentiableVoxelGrid.from_blocks(blocks, 8, GridSettings((1, 2), 3.0, 4.0))
    with torch.no_grad():
        for residual in grid.parameters():
            residual.add_(torch.randn(residual.shape, generator=torch.Generator().manual_seed(0)))
    before, cells = grid.blocks(), torch.tensor([0, 5, 17, 35])
    grid.write(cells, torch.tensor([0, 2, 7, 0]))
    after = grid.blocks()
    assert after.ravel()[cells].tolist() == [0, 2, 7, 0]
    assert (np.delete(after.ravel(), cells) == np.delete(before.ravel(), cells)).all()
    opacity = grid.field(0.1, 0.2).opacity.flatten()[cells]
    assert torch.allclose(opacity, torch.tensor([0.0, 1.0, 1.0, 0.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("levels", "shape", "strides"),
    [(None, (32, 24, 63), (1, 2, 4)), (None, (32, 24, 64), (1, 2, 4, 8, 16)), ((1, 4), (64, 64, 64), (1, 4))],
)
def test_large_worlds_have_a_coarser_level_unless_strides_are_given(levels, shape, strides):
    settings = GridSettings(levels, 3.0, 4.0)
    assert settings.levels_of(shape) == strides
    assert DifferentiableVoxelGrid.from_blocks(np.zeros(shape, int), 8, settings).levels == strides
