"""The clock of a step's parts."""

import time

import torch

from voxsds.train.clock import StepClock


def test_parts_of_one_name_are_added_up_and_medians_are_over_steps():
    clock = StepClock(torch.device("cpu"))
    for pause in (0.01, 0.05, 0.02):
        clock.start()
        time.sleep(pause)
        clock.lap("sleep")
        clock.lap("nothing")
        time.sleep(pause)
        clock.lap("sleep")
    found = clock.medians()
    assert list(found) == ["sleep", "nothing"]
    assert 40 <= found["sleep"] < 70 and found["nothing"] < 5
    assert 40 <= clock.medians(last=1)["sleep"] < 70


def test_a_clock_that_never_ran_has_no_parts():
    assert StepClock(torch.device("cpu")).medians() == {}
