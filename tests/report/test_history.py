"""The worlds in the page: what is packed is what was there, and it fits."""

import base64
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers.report_page import half_way
from tests.helpers.small_run import grassland, snow_with_post, world
from voxsds.report.history import MOST_MOMENTS, embedded, moments_of, packed_change

SHAPES = st.tuples(*[st.integers(1, 5)] * 3)
PAIRS = SHAPES.flatmap(
    lambda s: st.tuples(*[arrays(np.int64, s, elements=st.integers(0, 70_000 - 5_000))] * 2)
)


def unpacked(change: str, old: np.ndarray) -> np.ndarray:
    """As history.js does it."""
    data = gzip.decompress(base64.b64decode(change))
    count = len(data) // 6
    gaps, materials = np.frombuffer(data[: 4 * count], "<i4"), np.frombuffer(data[4 * count :], "<u2")
    new = old.ravel().copy()
    new[np.cumsum(gaps)] = materials
    return new.reshape(old.shape)


@given(PAIRS)
def test_a_change_leads_from_the_old_world_to_the_new(pair):
    old, new = pair
    np.testing.assert_array_equal(unpacked(packed_change(old, new), old), new)


def logged(count: int) -> dict[int, np.ndarray]:
    return {step: half_way() if step % 2 else snow_with_post() for step in range(count)}


def test_the_moments_are_the_input_the_steps_and_the_result():
    worlds = {0: grassland(), 2: half_way(), 4: snow_with_post()}
    moments = moments_of(world(grassland()), worlds, world(snow_with_post()))
    assert [m.label for m in moments] == ["input map", "step 2", "step 4", "result, exported after step 4"]
    assert [m.step for m in moments] == [0, 2, 4, 4]
    found = embedded(world(grassland()), moments, 10_000)
    blocks = np.zeros_like(grassland())
    for packed, moment in zip(found["moments"], moments, strict=True):
        blocks = unpacked(packed["change"], blocks)
        np.testing.assert_array_equal(blocks, moment.blocks)


def test_where_there_is_little_room_moments_are_left_out_but_never_the_first_and_the_last():
    moments = moments_of(world(grassland()), logged(30), world(snow_with_post()))
    all_of_them = embedded(world(grassland()), moments, 10**6)
    size = sum(len(m["change"]) for m in all_of_them["moments"])
    assert len(all_of_them["moments"]) == 31
    few = embedded(world(grassland()), moments, size // 3)
    assert 2 <= len(few["moments"]) < 31 and sum(len(m["change"]) for m in few["moments"]) <= size // 3
    assert few["moments"][0]["label"] == "input map" and few["moments"][-1]["label"].startswith("result")
    assert embedded(world(grassland()), moments, 50) is None


def test_a_run_with_very_many_moments_is_thinned():
    moments = moments_of(world(grassland()), logged(500), world(snow_with_post()))
    assert len(embedded(world(grassland()), moments, 10**6)["moments"]) == MOST_MOMENTS


@pytest.mark.parametrize("name", ["top", "bottom", "side"])
def test_the_viewer_gets_albedos_and_does_the_light_itself(name):
    moments = moments_of(world(grassland()), {}, world(snow_with_post()))
    materials = embedded(world(grassland()), moments, 10_000)["materials"]
    slot = ["top", "bottom", "side"].index(name)
    palette = world(grassland()).palette
    assert [m[name] for m in materials] == palette.albedo[:, slot].tolist()
