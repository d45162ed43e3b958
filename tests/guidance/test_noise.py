"""Noise tables of every kind: clean latents and noise are recovered, and known levels are met."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.oracles import TABLES
from voxsds.guidance.noise import (
    Level,
    NoiseTable,
    clean_estimate,
    even_times,
    noise_between,
    noise_latents,
    scaled_linear_alpha_bars,
)

SHAPE = (2, 4, 3, 5)
seeds = st.integers(0, 2**31 - 1)
timesteps = st.lists(st.integers(0, 999), min_size=2, max_size=2)


def normal(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def amplitudes(table: NoiseTable, *timesteps: int) -> list[list[float]]:
    """a and s at each of the timesteps."""
    level = table.at(torch.tensor(timesteps), torch.ones(1))
    return [amplitude.flatten().tolist() for amplitude in level.amplitudes()]


def test_a_worked_example():
    ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    level = Level(*torch.tensor([[0.36], [0.64]], dtype=torch.float64))
    assert noise_latents(ones, 2 * ones, level).item() == pytest.approx(0.6 * 1 + 0.8 * 2)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@settings(deadline=None)
@given(seed=seeds, drawn=timesteps)
def test_clean_latents_and_noise_are_recovered_at_every_level(table, seed, drawn):
    clean, noise = normal(seed), normal(seed + 1)
    level = table.at(torch.tensor(drawn), clean)
    noisy = noise_latents(clean, noise, level)
    torch.testing.assert_close(clean_estimate(noisy, noise, level), clean)
    torch.testing.assert_close(noise_between(clean, noisy, level), noise)


@settings(deadline=None)
@given(seed=seeds, a=st.floats(0.1, 3.0), s=st.floats(0.1, 3.0))
def test_the_noise_between_undoes_the_clean_estimate_whatever_the_level(seed, a, s):
    noisy, predicted = normal(seed), normal(seed + 1)
    level = Level(*(torch.full((2,), value**2, dtype=torch.float64) for value in (a, s)))
    torch.testing.assert_close(
        noise_between(clean_estimate(noisy, predicted, level), noisy, level), predicted
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_signal_falls_and_noise_rises(table):
    assert len(table) == 1000
    assert (table.signal.diff() < 0).all() and (table.noise.diff() > 0).all()


def test_sdxl_schedule_has_its_published_signal_levels():
    table = NoiseTable.ddpm(scaled_linear_alpha_bars())
    a, s = amplitudes(table, 249, 499, 749, 980)
    assert [round(value, 2) for value in a] == [0.82, 0.53, 0.24, 0.08]
    assert [round(value, 2) for value in s] == [0.57, 0.85, 0.97, 1.0]


def test_a_flow_goes_along_straight_lines():
    table = NoiseTable.flow(torch.tensor([0.25, 0.75]))
    assert amplitudes(table, 0, 1) == [[0.75, 0.25], [0.25, 0.75]]
    assert even_times(2).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("times", [[0.0, 0.5], [0.5, 1.0], [0.5, 0.4]])
def test_times_at_which_a_flow_says_nothing_are_refused(times):
    with pytest.raises(ValueError, match="between 0 and 1, neither of them included"):
        NoiseTable.flow(torch.tensor(times))


def test_latents_without_noise_are_the_clean_ones():
    clean, noise = normal(0), normal(1)
    level = TABLES["flow"].at(torch.tensor([3, 700]), clean).without_noise()
    assert torch.equal(noise_latents(clean, noise, level), clean)
