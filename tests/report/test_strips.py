"""The strips of test images: one a view, its moments in the order of the training."""

import numpy as np
import torch

from voxsds.report.sheet import GAP, LABEL
from voxsds.report.strips import MOST, SIDE, strips


def grey(value: float, side: int = 8) -> torch.Tensor:
    return torch.full((3, side, side), value)


def picture(strip: np.ndarray, index: int, side: int = 8) -> np.ndarray:
    left = GAP + index * (side + GAP)
    return strip[GAP : GAP + side, left : left + side]


def test_each_view_has_a_strip_whose_pictures_follow_the_steps():
    images = {step: torch.stack([grey(step / 100), grey(1 - step / 100)]) for step in (100, 0, 50)}
    first, second = strips(images)
    assert first.shape == second.shape == (8 + LABEL + 2 * GAP, 3 * (8 + GAP) + GAP, 3)
    for index, step in enumerate((0, 50, 100)):
        assert (picture(first, index) == round(255 * step / 100)).all()
        assert (picture(second, index) == round(255 * (1 - step / 100))).all()


def test_every_picture_has_words_below():
    (strip,) = strips({step: grey(0.5, 64)[None] for step in (0, 50)})
    below = strip[GAP + 64 :]
    assert (below[:, : GAP + 64] < 128).any() and (below[:, 2 * GAP + 64 :] < 128).any()


def test_a_long_run_keeps_its_first_and_its_last_picture():
    (strip,) = strips({step: grey(step / 99)[None] for step in range(100)})
    assert strip.shape[1] == MOST * (8 + GAP) + GAP
    assert (picture(strip, 0) == 0).all() and (picture(strip, MOST - 1) == 255).all()


def test_large_pictures_are_made_smaller():
    (strip,) = strips({0: grey(0.2, 3 * SIDE)[None]})
    assert strip.shape[:2] == (SIDE + LABEL + 2 * GAP, SIDE + 2 * GAP)
    assert (picture(strip, 0, SIDE) == 51).all()
