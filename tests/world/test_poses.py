"""The pose law: level orbits within their ranges, from the generator that they are given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.world.cameras import Frame
from voxsds.world.poses import PoseLaw, orbit_pose, sample_pose

LAW = PoseLaw(
    elevation_degrees=(15.0, 52.0),
    radius=(1.3, 1.65),
    fov_y_degrees=45.0,
    target_height=0.36,
    target_jitter=0.05,
)
SHAPE = (32, 24, 20)
FRAME = Frame((16.0, 10.0), 2.0)


@pytest.mark.parametrize(("azimuth", "eye"), [(0.0, [80.0, 17.28, 0.0]), (90.0, [0.0, 17.28, 80.0])])
def test_azimuth_0_stands_in_the_east_and_90_in_the_south(azimuth: float, eye: list[float]) -> None:
    """1.25 widths of 32 blocks of 2 units: 80 units; target 0.36 x 24 blocks = 17.28 units high."""
    camera = orbit_pose(LAW, SHAPE, FRAME, 64, azimuth, elevation_degrees=0.0, radius=1.25)
    np.testing.assert_allclose(camera.position, eye, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_sampled_poses_obey_the_law(seed: int) -> None:
    camera = sample_pose(LAW, SHAPE, FRAME, 64, np.random.default_rng(seed))
    eye, forward = FRAME.to_grid(camera.position), -camera.view[2, :3]
    elevation = np.degrees(np.arcsin(-forward[1]))
    assert 15.0 <= elevation <= 52.0
    target = np.array([16.0, 0.36 * 24, 10.0])
    along = (target - eye) @ forward
    off_axis = np.linalg.norm(eye + along * forward - target)
    assert off_axis <= 0.05 * 32 * np.sqrt(3) + 1e-9
    assert 1.3 * 32 - 3 <= along <= 1.65 * 32 + 3
    assert camera.view[0, 1] == pytest.approx(0.0)  # level: the image's right is horizontal
    assert camera.far > 2 * (along + 32) * FRAME.scale / 2


def test_the_same_generator_gives_the_same_poses_and_then_others() -> None:
    first, again = np.random.default_rng(3), np.random.default_rng(3)
    a, b = (sample_pose(LAW, SHAPE, FRAME, 64, rng) for rng in (first, again))
    np.testing.assert_array_equal(a.view, b.view)
    assert not np.allclose(a.view, sample_pose(LAW, SHAPE, FRAME, 64, first).view)


def test_the_whole_circle_is_sampled() -> None:
    rng = np.random.default_rng(0)
    eyes = np.array([sample_pose(LAW, SHAPE, FRAME, 64, rng).position for _ in range(200)])
    quarters = np.bincount(((np.arctan2(eyes[:, 2], eyes[:, 0]) + np.pi) // (np.pi / 2)).astype(int) % 4)
    assert quarters.min() > 30  # 50 expected, standard deviation 6
