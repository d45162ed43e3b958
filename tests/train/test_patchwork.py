"""The patchwork penalty is in no voxel louder than its limit."""

from tests.helpers.edit import house_on_grass, recipe, tower_on_snow, training
from voxsds.train.recipe import Penalties
from voxsds.train.training import Training

SIZE = 16  # pixels; small, for speed
LOUD = Penalties(0.0, 0.0, 0.0, 0.0, 1e6)


def run_with(limit: float | None, penalties: Penalties = LOUD) -> Training:
    rules = recipe(steps=12, penalties=penalties, patchwork_limit=limit)
    return training(house_on_grass(), tower_on_snow(), rules, size=SIZE)


def test_patchwork_is_in_no_voxel_louder_than_its_limit():
    run = run_with(0.5)
    for _ in range(8):
        said = run.patchwork.said
        run.advance()
        assert run.patchwork.patched is not None
        assert (run.patchwork.patched.norm(dim=0) <= 0.5001 * said.sqrt()).all()
    loud = run.patchwork.patched.norm(dim=0) > 0.4999 * said.sqrt()
    assert loud.sum() > 100  # so large a weight speaks up to it


def test_the_limit_shortens_the_gradient_and_leaves_the_value():
    limited, free = (run_with(limit).advance().losses["patchwork"] for limit in (0.5, None))
    assert limited == free > 0


def test_nothing_is_kept_without_a_limit_or_a_penalty():
    for run in (run_with(None), run_with(0.5, Penalties(0.001, 0.0, 0.0, 0.0, 0.0))):
        run.advance()
        assert run.patchwork.patched is None and not run.patchwork.said.any()
