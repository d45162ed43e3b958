"""Schedules: the named ends are reached, by the named way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxsds.train.schedules import Geometric, Linear, StepDecay, progress

numbers = st.floats(0.01, 100.0)
lengths = st.integers(2, 1000)


@given(numbers, numbers, lengths, st.sampled_from([Linear, Geometric]))
def test_the_first_step_sees_the_start_and_the_last_the_end(start, end, steps, kind):
    schedule = kind(start, end, steps)
    assert schedule.at(0) == start and schedule.at(steps - 1) == end


@given(numbers, numbers, lengths, st.sampled_from([Linear, Geometric]), st.data())
def test_never_turns_back(start, end, steps, kind, data):
    step = data.draw(st.integers(0, steps - 2))
    now, later = kind(start, end, steps).at(step), kind(start, end, steps).at(step + 1)
    slack = 1e-12 * max(start, end)
    assert now <= later + slack if start <= end else now >= later - slack


def test_middles_by_hand():
    assert Linear(1.0, 3.0, 3).at(1) == 2
    assert Geometric(1.0, 100.0, 3).at(1) == pytest.approx(10)


def test_a_run_of_one_step_is_at_its_end():
    assert progress(0, 1) == 1 and Geometric(2.0, 0.5, 1).at(0) == 0.5


def test_decay_acts_on_the_last_share_of_the_steps():
    decay = StepDecay(1.0, 0.1, 0.2, 10)
    assert [decay.at(step) for step in range(10)] == [1.0] * 8 + [0.1] * 2
    assert decay.total() == pytest.approx(8.2)
    assert StepDecay(1.0, 0.1, 0.0, 10).total() == 10


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, -1.0)])
def test_geometric_through_zero_is_refused(ends):
    with pytest.raises(ValueError, match="must be positive"):
        Geometric(*ends, 10)
