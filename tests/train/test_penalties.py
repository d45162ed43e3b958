"""Regularisers: their values, and that nothing unseen is regularised."""

import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.train import penalties as losses
from voxsds.train.recipe import Penalties
from voxsds.world.field import Field

SHAPE = (3, 4, 5)


def random_field(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Opacity, material and a mask."""
    draws = torch.Generator().manual_seed(seed)
    opacity = torch.rand(SHAPE, generator=draws)
    material = torch.softmax(3 * torch.randn(*SHAPE, 7, generator=draws), dim=-1)
    return opacity, material, torch.rand(SHAPE, generator=draws) > 0.5


PENALTIES = {
    "sparsity": lambda opacity, material, mask: losses.sparsity(opacity),
    "binarisation": lambda opacity, material, mask: losses.binarisation(opacity),
    "entropy": lambda opacity, material, mask: losses.material_entropy(material),
    "smoothness": lambda opacity, material, mask: losses.smoothness(opacity, mask),
    "patchwork": losses.patchwork,
}


@pytest.mark.parametrize("name", PENALTIES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_voxels_outside_the_mask_get_no_gradient(name, seed):
    opacity, material, mask = random_field(seed)
    opacity.requires_grad_(), material.requires_grad_()
    loss = losses.masked_mean(PENALTIES[name](opacity, material, mask), mask)
    by_opacity, by_material = torch.autograd.grad(loss, (opacity, material), allow_unused=True)
    assert loss > 0
    assert all((g[~mask] == 0).all() for g in (by_opacity, by_material) if g is not None)


def test_masked_mean_is_over_the_mask_alone():
    penalty, mask = torch.tensor([[[1.0, 5.0, 9.0]]]), torch.tensor([[[True, False, True]]])
    assert losses.masked_mean(penalty, mask) == 5
    assert losses.masked_mean(penalty, torch.zeros_like(mask)) == 0


def test_values_by_hand():
    assert losses.binarisation(torch.tensor([[[0.0, 0.5, 1.0]]])).tolist() == [[[0, 1, 0]]]
    two_alike = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0]).reshape(1, 1, 1, 7)
    assert losses.material_entropy(two_alike).item() == pytest.approx(math.log(2), abs=1e-6)


def test_certain_materials_have_no_entropy_and_a_finite_gradient():
    certain = torch.tensor([1.0, 0, 0, 0, 0, 0, 0]).reshape(1, 1, 1, 7).requires_grad_()
    entropy = losses.material_entropy(certain).sum()
    entropy.backward()
    assert entropy == 0 and torch.isfinite(certain.grad).all()


def test_a_lone_block_costs_two_along_every_axis():
    opacity = torch.zeros(3, 3, 3)
    opacity[1, 1, 1] = 1
    everywhere = torch.ones(3, 3, 3, dtype=torch.bool)
    assert losses.smoothness(opacity, everywhere).sum() == 6
    assert losses.smoothness(torch.ones(3, 3, 3), everywhere).sum() == 0


def test_a_lone_material_costs_two_along_every_axis_and_digs_nothing():
    material = torch.zeros(3, 3, 3, 7)
    material[..., 0] = 1
    material[1, 1, 1] = torch.eye(7)[3]
    opacity, everywhere = torch.ones(3, 3, 3).requires_grad_(), torch.ones(3, 3, 3, dtype=torch.bool)
    assert losses.patchwork(opacity, material, everywhere).sum() == 6
    assert losses.patchwork(opacity, material[:1].expand(3, -1, -1, -1), everywhere).sum() == 0
    half = torch.full((3, 3, 3), 0.5)
    assert losses.patchwork(half, material, everywhere).sum() == 1.5
    assert not losses.patchwork(opacity, material, everywhere).requires_grad
    undecided = torch.full_like(material, 1 / 7)
    assert losses.patchwork(opacity, undecided, everywhere).sum() == 0


def test_touched_needs_light_and_something_in_it():
    reach = torch.tensor([[[0.0, 1.0, 1.0, 0.05]]])
    opacity = torch.tensor([[[1.0, 0.005, 0.5, 0.1]]])
    assert losses.touched(reach, opacity).tolist() == [[[False, False, True, False]]]


def test_penalties_are_weighted_and_those_of_weight_zero_have_no_gradient():
    opacity, material, _ = random_field(0)
    field, reach = Field(opacity.requires_grad_(), material), torch.ones(SHAPE)
    weights = Penalties(2.0, 0.0, 0.0, 0.5, 0.0)
    parts = losses.penalties(weights, field, reach)
    assert list(parts) == list(asdict(weights))
    mask = losses.touched(reach, opacity)
    assert parts["sparsity"] == 2 * losses.masked_mean(opacity, mask)
    assert parts["binarisation"] == 0.5 * losses.masked_mean(losses.binarisation(opacity), mask)
    for name in ("entropy", "smoothness", "patchwork"):
        assert parts[name] == 0 and not parts[name].requires_grad
