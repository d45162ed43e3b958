"""The last phase: its slopes are exact, its flips repair what is wrong, and break no limit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.edit import (
    FRAME,
    HELD_OUT,
    SHAPE,
    house_on_grass,
    recipe,
    terrain,
    tower_on_snow,
    training,
)
from tests.helpers.oracles import LIT, views, world
from voxsds.blocks.limits import EVERYTHING, limits_of
from voxsds.blocks.surface import visible
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw, draw_blocks, psnr
from voxsds.render.renderer import render
from voxsds.train import flips
from voxsds.train.flips import HardPhase, chosen, slopes
from voxsds.train.restraint import restrain
from voxsds.train.training import train
from voxsds.world.field import Field, solid_field
from voxsds.world.palette import AIR, DEFAULT_PALETTE, DIRT, GRASS, PLANK, SAND, SNOW, STONE, WATER

SETTINGS = GridSettings((1, 2), 3.0, 4.0)


def spoilt(blocks: np.ndarray, seed: int, count: int = 24) -> np.ndarray:
    """`blocks`, of whose visible ones some are gone or of another material, with some new ones on top."""
    rng, wrong = np.random.default_rng(seed), blocks.copy()
    seen = np.argwhere(visible(blocks) & (np.indices(blocks.shape)[1] > 2))
    for i, (x, y, z) in enumerate(seen[rng.permutation(len(seen))[:count]]):
        wrong[x, y + i % 2, z] = (AIR, PLANK, SAND, WATER)[i % 4] if i % 2 == 0 else PLANK
    return wrong


def distance(blocks: np.ndarray, target: np.ndarray) -> float:
    """Mean square of the pictures' difference from views never trained on: the oracle's loss."""
    pictures = [draw_blocks(b, DEFAULT_PALETTE, FRAME, HELD_OUT) for b in (blocks, target)]
    return (pictures[0] - pictures[1]).square().mean().item()


def hard(start: np.ndarray, target: np.ndarray, seed: int = 0, steps: int = 60, **changes):
    """A run that is nothing but the last phase."""
    return training(start, target, replace(recipe(seed, steps=steps, hard_phase=1.0), **changes), size=48)


@pytest.mark.parametrize(
    ("cell", "becomes"), [((4, 5, 4), AIR), ((7, 2, 6), STONE), ((4, 4, 4), SAND), ((6, 1, 6), AIR)]
)
def test_the_mean_of_the_slopes_at_both_ends_is_the_change_of_a_square_loss(cell, becomes):
    before, rays, lit = world(SNOW, STONE), views(), LIT.double()
    after = before.copy()
    after[cell] = becomes
    target = render(*solid_field(world(GRASS, SAND), len(lit), torch.float64), lit, rays).rgba

    def seen(blocks):
        solid = torch.as_tensor(blocks != AIR)
        ids = (
            torch.as_tensor(np.where(blocks != AIR, blocks, becomes if becomes else before)).clamp(min=1) - 1
        )
        shares = torch.nn.functional.one_hot(ids, len(lit)).double().requires_grad_()
        opacity = solid.double().requires_grad_()
        loss = (render(opacity, shares, lit, rays).rgba - target).square().sum()
        by_opacity, by_share = torch.autograd.grad(loss, (opacity, shares))
        return loss.item(), slopes(by_opacity, by_share, solid, ids)[cell]

    (first, there), (second, back) = seen(before), seen(after)
    repainted = before[cell] != AIR and becomes != AIR
    there, back = (there[becomes], back[before[cell]]) if repainted else (there[0], back[0])
    assert abs(second - first) > 1e-3
    assert second - first == pytest.approx((there - back).item() / 2, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flips_repair_planted_faults_and_never_make_the_pictures_worse(seed):
    target = tower_on_snow()
    start = spoilt(target, seed)
    run = hard(start, target, seed, steps=80)
    for _ in train(run):
        pass
    result = run.grid.blocks()
    wrong = [(b != target)[visible(b) | visible(target)].sum() for b in (start, result)]
    assert wrong[0] > 15 and wrong[1] < 0.6 * wrong[0]
    assert distance(result, target) < 0.25 * distance(start, target)
    existence = [((b == AIR) != (target == AIR)).sum() for b in (start, result)]
    assert existence[1] < 0.5 * existence[0]  # blocks were added and removed, not only repainted


@pytest.mark.slow
def test_a_world_that_is_right_stays():
    run = hard(tower_on_snow(), tower_on_snow(), steps=40)
    for _ in train(run):
        pass
    assert distance(run.grid.blocks(), tower_on_snow()) < 1e-5


def test_what_is_drawn_at_the_end_is_what_is_exported():
    run = hard(spoilt(tower_on_snow(), 0), tower_on_snow(), steps=20)
    for _ in train(run):
        pass
    assert len(run.hard.state["cells"]) == 0  # nothing is left on trial
    with torch.no_grad():
        soft = draw(run.grid.field(**run.temperatures()), DEFAULT_PALETTE, FRAME, HELD_OUT)
    assert psnr(soft, draw_blocks(run.grid.blocks(), DEFAULT_PALETTE, FRAME, HELD_OUT)) > 60


@pytest.mark.parametrize("pause", [5, 10, 15])
def test_a_run_taken_up_again_in_the_last_phase_is_the_same_run(pause):
    def fresh():
        return hard(spoilt(tower_on_snow(), 0), tower_on_snow(), steps=20)

    whole, first, second = fresh(), fresh(), fresh()
    for _ in train(whole):
        pass
    for _ in range(pause):
        first.advance()
    assert pause != 10 or len(first.hard.state["cells"]) > 0  # some on trial
    second.load_state_dict(first.state_dict())
    for _ in train(second):
        pass
    assert all(
        torch.equal(a, b) for a, b in zip(whole.grid.parameters(), second.grid.parameters(), strict=True)
    )


def test_the_limits_of_the_edit_hold():
    start, target = house_on_grass(), tower_on_snow()
    rules = replace(EVERYTHING, lock=("Dirt",), materials=("Stone",))
    limits = limits_of(rules, start, DEFAULT_PALETTE)
    run = hard(start, target, steps=30)
    restrain(run.grid, limits)
    for _ in train(run):
        pass
    result = run.grid.blocks()
    assert not limits.broken(result, start).any() and (result != start).any()


def test_no_two_flips_touch_and_there_are_no_more_than_the_budget():
    draws = torch.Generator().manual_seed(0)
    mean = torch.randn(*SHAPE, 8, generator=draws)
    material = torch.zeros(SHAPE, dtype=torch.int64)
    everywhere = torch.ones(*SHAPE, 8, dtype=torch.bool)
    found = chosen(mean, torch.zeros_like(mean), torch.ones(7, 7), material, everywhere)
    at = np.stack(np.unravel_index(found.cells.numpy(), SHAPE))
    apart = np.abs(at[:, :, None] - at[:, None]).max(axis=0) + 9 * np.eye(len(found.cells), dtype=int)
    assert len(found.cells) == flips.BUDGET and apart.min() >= 2
    assert (mean.flatten(0, 2)[found.cells, found.kinds] < 0).all()


def test_only_what_is_sure_is_flipped():
    mean, error = -torch.ones(1, 1, 2, 8), torch.full((1, 1, 2, 8), 1 / flips.BOUND)
    error[0, 0, 1] *= 0.9
    here = torch.zeros(1, 1, 2, dtype=torch.int64)
    found = chosen(mean, error, torch.ones(7, 7), here, torch.ones_like(mean, dtype=torch.bool))
    assert found.cells.tolist() == [1]


def test_an_empty_voxel_would_be_of_what_is_around():
    grid = DifferentiableVoxelGrid.from_blocks(terrain(SNOW), len(DEFAULT_PALETTE), SETTINGS)
    field = HardPhase(grid, LIT).field()
    assert isinstance(field, Field) and set(field.opacity.unique().tolist()) == {0.0, 1.0}
    x, z = 10, 10
    top = int((terrain(SNOW)[x, :, z] != AIR).sum())
    assert field.material[x, top, z].argmax() == SNOW - 1
    assert terrain(SNOW)[x, top - 2, z] == DIRT


def test_no_block_is_added_in_mid_air():
    solid = torch.zeros(3, 3, 3, dtype=torch.bool)
    solid[1, 0, 1] = True
    held = flips._beside(solid)
    assert held.sum() == 6 and held[1, 1, 1] and not held[1, 2, 1] and not held[0, 1, 1]
