"""The numbers that change over a run: their ends, the freeze, and what only some steps do."""

from dataclasses import replace

import pytest

from tests.helpers.edit import recipe, teacher_settings
from voxsds.train.plan import Plan
from voxsds.train.recipe import Decay, Span

SHAPE = (20, 16, 20)


def plan(shape: tuple[int, int, int] = SHAPE, teacher: dict | None = None, **changes) -> Plan:
    return Plan.of(recipe(teacher=teacher_settings(**(teacher or {})), **changes), shape)


def test_a_run_begins_with_the_starts_and_ends_with_the_ends():
    run = plan(
        steps=8,
        lr=0.05,
        teacher=dict(guidance_scale=8.0, guidance_end=2.0, t_min=(0.4, 0.1), t_max=(0.9, 0.5)),
    )
    first, last = run.at(0), run.last
    assert first.temperatures == {"occupancy_temperature": 1.0, "material_temperature": 2.0}
    assert last.temperatures == {"occupancy_temperature": 0.1, "material_temperature": 0.15}
    assert (first.guidance_scale, first.t_min, first.t_max) == (8.0, 0.4, 0.9)
    assert (last.guidance_scale, last.t_min, last.t_max) == (2.0, 0.1, 0.5)
    assert first.lr == 0.05 and last.lr == pytest.approx(0.005)


def test_after_its_end_a_run_has_the_numbers_of_its_last_step():
    run = plan(steps=8)
    assert run.at(8) == run.at(100) == run.at(7) == run.last != run.at(6)


def test_both_temperatures_fall_at_once_in_the_last_steps():
    ends = {"occupancy_temperature": Span(1.0, 0.1), "material_temperature": Span(2.0, 0.2)}
    run = plan(steps=5, freeze=Decay(0.5, 0.4), **ends)
    steps = [run.at(step) for step in range(5)]
    slow = [10 ** (-step / 4) for step in range(5)]
    expected = [t * (0.5 if step >= 3 else 1.0) for step, t in enumerate(slow)]
    assert [now.occupancy_temperature for now in steps] == pytest.approx(expected)
    assert [now.material_temperature for now in steps] == pytest.approx([2 * t for t in expected])
    assert [now.frozen for now in steps] == [False] * 3 + [True] * 2
    never = plan(steps=5, freeze=Decay(0.5, 0.1), **ends).last
    assert (never.occupancy_temperature, never.material_temperature, never.frozen) == (0.1, 0.2, False)


def test_noise_levels_left_open_go_by_the_size_of_the_world():
    small, large = (plan(shape, dict(t_min=None)).at(0).t_min for shape in (SHAPE, (64, 16, 20)))
    assert (small, large) == (0.45, 0.6)


def test_tidying_and_probes_come_every_so_often_and_at_the_last_step():
    run = plan(steps=48, tidy=0.5, probe_every=20)
    assert [step for step in range(48) if run.at(step).tidies] == [30, 40, 47]
    assert [step for step in range(48) if run.at(step).probes] == [0, 20, 40, 47]
    untidy = replace(run, tidy_from=48)
    assert not any(untidy.at(step).tidies for step in range(48))
