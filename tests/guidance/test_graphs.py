"""Functions replayed as CUDA graphs give what they give without."""

import pytest
import torch

from voxsds.guidance.fast.graphs import Replayed, ReplayedWithGradient

pytestmark = pytest.mark.cuda


def test_a_replayed_function_answers_each_shape_and_its_answers_are_kept_apart():
    weight = torch.randn(8, 8, device="cuda")

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.sin(x @ weight) + y

    replayed, asked = Replayed(function), []
    for rows in (3, 5, 3, 3):  # the last two without a new recording
        x, y = torch.randn(rows, 8, device="cuda"), torch.randn(rows, 8, device="cuda")
        asked.append((replayed(x, y), function(x, y)))
    for answer, expected in asked:
        torch.testing.assert_close(answer, expected)


def test_a_replayed_gradient_is_that_of_the_function():
    def function(x: torch.Tensor) -> torch.Tensor:
        return x.sin() * x

    replayed = ReplayedWithGradient(function, function)
    for _ in range(3):
        x = torch.randn(4, 4, device="cuda", requires_grad=True)
        cotangent = torch.randn(4, 4, device="cuda")
        made, expected = (torch.autograd.grad(f(x), x, cotangent)[0] for f in (replayed, function))
        torch.testing.assert_close(made, expected)
    with torch.no_grad():
        torch.testing.assert_close(replayed(x), function(x))
