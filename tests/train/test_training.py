"""The loop: repeatable, resumable at any step, harmless to what nobody sees, stopped with a reason."""

import copy
from itertools import islice

import numpy as np
import pytest
import torch

from teacher.worlds.materials import PLANK, STONE
from tests.helpers.edit import FRAME, SHAPE, house_on_grass, recipe, tower_on_snow, training, views
from tests.helpers.oracles import oracle
from voxsds.guidance.oracle import OracleTeacher
from voxsds.train.health import PATIENCE, TrainingStopped
from voxsds.train.recipe import Decay, Penalties
from voxsds.train.training import PROBE_VIEWS, Training, train
from voxsds.train.views import ORBIT, jittered

SIZE = 16  # pixels; small, for speed


def short(steps: int = 6, seed: int = 0, **changes) -> Training:
    rules = recipe(seed, steps=steps, probe_every=2, **changes)
    return training(house_on_grass(), tower_on_snow(), rules, size=SIZE)


def residuals(run: Training) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in run.grid.parameters()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_one_seed_gives_one_result_and_another_another():
    runs = [short(seed=seed) for seed in (3, 3, 4)]
    records = [list(train(run)) for run in runs]
    assert records[0] == records[1] and equal(residuals(runs[0]), residuals(runs[1]))
    assert records[0] != records[2]


@pytest.mark.parametrize("pause", [1, 4, 6])
def test_a_run_taken_up_again_is_the_same_run(pause):
    whole, first, second = short(), short(), short()
    expected = list(train(whole))
    before = list(islice(train(first), pause))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert before + list(train(second)) == expected
    assert equal(residuals(whole), residuals(second)) and torch.equal(whole.reach, second.reach)


def test_cameras_do_not_change_timesteps_or_noise():
    streams = []
    for cameras in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
        run = short(cameras=cameras)
        timesteps = [record.timesteps for record in train(run)]
        streams.append((timesteps, run.critic.noise_draws.get_state().tolist()))
    assert streams[0] == streams[1]


def test_records_hold_the_planned_figures():
    first, second, *_ = train(short())
    assert {"total", "sds", "sparsity", "entropy"} <= set(first.losses)
    parts = [value for name, value in first.losses.items() if name != "total"]
    assert first.losses["total"] == pytest.approx(sum(parts)) and first.losses["sparsity"] > 0
    assert set(first.grid_stats) == {
        "num_active_voxels", "occupancy_mean", "occupancy_std", "density", "material_distribution",
    }  # fmt: skip
    assert set(first.gradient_stats) == {
        "occupancy_grad_norm", "material_grad_norm", "grad_max", "grad_health_score",
    }  # fmt: skip
    assert first.gradient_stats["grad_health_score"] > 0.5
    assert first.grid_stats["num_active_voxels"] == (house_on_grass() > 0).sum()
    assert (first.temperature, first.occupancy_temperature) == (2.0, 1.0)
    assert first.probe is not None and second.probe is None


def test_records_say_the_numbers_of_their_steps():
    run = short(steps=8, lr=0.05)
    for record, now in zip(train(run), map(run.plan.at, range(8)), strict=True):
        said = (record.lr, record.occupancy_temperature, record.temperature, record.probe is not None)
        assert said == (now.lr, now.occupancy_temperature, now.material_temperature, now.probes)
    assert run.now == run.plan.last


@pytest.mark.parametrize("share, left", [(0.5, False), (0.0, True)])
def test_what_comes_to_float_is_taken_away_in_the_last_steps(share, left):
    run = short(steps=20, tidy=share)
    for _ in range(10):
        run.advance()
    corner = torch.tensor([np.ravel_multi_index((0, SHAPE[1] - 1, 0), SHAPE)])
    run.grid.write(corner, torch.tensor([STONE]))
    run.advance()  # step 10, the first of the last half
    assert bool(run.grid.blocks().flat[corner]) == left


def test_what_floats_in_the_map_stays_afloat():
    world = house_on_grass()
    world[0, -1, 0] = STONE
    run = training(world, world, recipe(steps=12, tidy=1.0), size=SIZE)
    list(train(run))
    assert run.grid.blocks()[0, -1, 0] == STONE


def test_the_probe_asks_the_same_question_every_time_and_does_not_mind_the_haze():
    run = short(lr=1e-12)
    probes = [record.probe for record in train(run) if record.probe]
    assert len(probes) == 4
    for found in probes:
        assert found == pytest.approx(probes[0], abs=1e-6)


def test_the_probe_tells_a_world_that_is_right():
    wrong = short(steps=1)
    right = training(tower_on_snow(), tower_on_snow(), recipe(steps=1), size=SIZE)
    before, after = (next(train(run)).probe for run in (wrong, right))
    assert after["eps"] < before["eps"] / 2 and after["margin"] > before["margin"]


def test_the_margin_rises_as_the_world_becomes_the_one_asked_for():
    probes = [record.probe["margin"] for record in train(short(steps=40)) if record.probe]
    assert probes[-1] > probes[0]


def test_what_no_ray_reaches_stays_whatever_the_penalty():
    rules = recipe(lr=0.05, steps=20, penalties=Penalties(10.0, 0.0, 0.0, 10.0, 0.0))
    run = training(house_on_grass(), house_on_grass(), rules, size=SIZE, levels=(1,))
    before = run.grid.occupancy_logits.detach().clone()
    for _ in train(run):
        pass
    moved = run.grid.occupancy_logits.detach() - before
    hidden = run.reach == 0
    assert hidden.sum() > 100 and (moved[hidden] == 0).all()
    assert moved[run.reach == 1].min() < -0.3


def test_a_light_touch_leaves_borders_between_materials_alone():
    def penalty(preserve: float) -> float:
        run = short(steps=12, penalties=Penalties(0.0, 0.0, 0.0, 0.0, 1.0), patchwork_limit=None)
        run.preserve = preserve
        return run.advance().losses["patchwork"]

    assert penalty(0.0) > 0
    assert penalty(0.5) == pytest.approx(penalty(0.0) / 2)
    assert penalty(1.0) == 0


class Bad(OracleTeacher):
    """An oracle that answers nonsense."""

    answer = "nan"

    def encode(self, images):
        return images * 0 if self.answer == "nothing" else super().encode(images)

    def predict_towards(self, question, noisy, timesteps, rays):
        towards = super().predict_towards(question, noisy, timesteps, rays)
        return towards * torch.nan if self.answer == "nan" else towards


def bad_run(answer: str, **changes) -> Training:
    teacher, question = oracle([tower_on_snow()], [house_on_grass()], SIZE, kind=Bad)
    teacher.answer = answer
    return training(house_on_grass(), (teacher, question), recipe(steps=20, **changes), size=SIZE)


def test_a_teacher_that_answers_nan_stops_the_run():
    run = bad_run("nan")
    before = residuals(run)
    with pytest.raises(TrainingStopped, match="step 0, numbers are not finite") as stopped:
        list(train(run))
    assert stopped.value.step == 0 and "NaN" in str(stopped.value.evidence)
    assert equal(before, residuals(run))


def test_a_gradient_that_is_not_finite_stops_the_run():
    run = short()
    run.drawing.lit[0, 0, 0] = torch.inf
    run.critic.teacher.encode = lambda images: torch.nan_to_num(images, posinf=1.0)
    before = residuals(run)
    with pytest.raises(TrainingStopped, match="not finite"):
        list(train(run))
    assert equal(before, residuals(run))


def test_a_world_that_is_quite_decided_freezes_without_gradient():
    rules = recipe(steps=12, freeze=Decay(0.0001, 0.9))
    *_, last = train(training(house_on_grass(), house_on_grass(), rules, size=SIZE))
    assert last.step == 11 and last.gradient_stats["grad_max"] == 0


def test_no_gradient_at_all_stops_the_run():
    no_penalty = Penalties(0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(TrainingStopped, match="the gradient is zero") as stopped:
        list(train(bad_run("nothing", penalties=no_penalty)))
    assert stopped.value.step == PATIENCE - 1


def test_an_emptied_world_stops_the_run():
    lonely = np.zeros(SHAPE, int)
    lonely[9:11, 4:6, 9:11] = PLANK
    run = training(lonely, np.zeros(SHAPE, int), recipe(steps=100, lr=0.5), size=SIZE)
    with pytest.raises(TrainingStopped, match="the world is empty") as stopped:
        list(train(run))
    assert stopped.value.evidence["num_active_voxels"] == 0 and 0 < stopped.value.step < 100


def test_an_empty_start_is_not_an_emptied_world():
    run = training(np.zeros(SHAPE, int), tower_on_snow(), recipe(steps=2), size=SIZE)
    assert [record.grid_stats["num_active_voxels"] for record in train(run)][0] == 0


def test_a_rate_that_cannot_flip_a_block_is_named_before_the_start():
    plan = recipe(lr=0.01, steps=500)
    assert "none of the initial +-5 changes its sign" in plan.flip_warning(levels=[1], initial_logit=5.0)
    assert plan.flip_warning(levels=[1], initial_logit=3.0) is None
    assert recipe().flip_warning(levels=[1, 2, 4], initial_logit=3.0) is None


def test_counts_that_are_not_positive_are_named():
    with pytest.raises(ValueError, match="steps is 0, views is -1"):
        recipe(steps=0, views=-1)
    with pytest.raises(ValueError, match="tidy is 1.5; give a share"):
        recipe(tidy=1.5)
    with pytest.raises(ValueError, match=r"freeze is 0.0 over 0.05 of the steps; give a positive factor"):
        recipe(freeze=Decay(0.0, 0.05))


def test_views_come_from_all_three_kinds():
    run = short()
    dataset = views(SHAPE, FRAME, 48)
    drawn = [run.source.draw(np.random.default_rng(seed)) for seed in range(200)]
    own = sum(i != ORBIT and np.array_equal(c.view, dataset[i].view) for c, i in drawn)
    orbits = sum(i == ORBIT for _, i in drawn)
    assert 20 <= own <= 60 and 75 <= orbits <= 125 and own + orbits < 200
    assert all((c.width, c.height) == (SIZE, SIZE) for c, _ in drawn)


def test_jitter_is_bounded_and_keeps_the_horizon():
    camera = views(SHAPE, FRAME, SIZE)[5]
    rng = np.random.default_rng(0)
    assert np.allclose(jittered(camera, 0.0, 0.0, rng).view, camera.view)
    for _ in range(20):
        moved = jittered(camera, 2.0, 3.0, rng)
        assert np.abs(moved.position - camera.position).max() <= 2.0
        right, forward = moved.view[0, :3], -moved.view[2, :3]
        assert abs(right[1]) < 1e-12
        assert forward @ -camera.view[2, :3] > np.cos(np.radians(3.0 * 2**0.5 + 1e-6))


def test_probe_views_are_spread_over_the_dataset():
    run = short()
    dataset = views(SHAPE, FRAME, SIZE)
    chosen = run.source.spread(PROBE_VIEWS)
    assert [next(i for i, c in enumerate(dataset) if np.array_equal(c.view, s.view)) for s in chosen] == [
        0, 6, 12, 18,
    ]  # fmt: skip


def test_no_shares_of_views_is_refused():
    with pytest.raises(ValueError, match="at least one of them positive"):
        recipe(cameras=(0.0, 0.0, 0.0))
