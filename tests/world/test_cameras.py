"""Cameras: what a pixel sees is what projects into it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.render.rays import ray_bundle
from voxsds.world.cameras import Camera, Frame, look_at

FRAME = Frame((16.0, 12.0), 2.0)


def pixel(camera: Camera, point: np.ndarray) -> np.ndarray:
    """(u, v) of a world point by way of clip space, origin top left, and its depth in -1..1."""
    clip = camera.projection @ camera.view @ np.append(point, 1.0)
    x, y, z = clip[:3] / clip[3]
    return np.array([(x + 1) / 2 * camera.width, (1 - y) / 2 * camera.height, z])


def test_frame_places_blocks_around_the_world_axis() -> None:
    """Block (16, 3, 12) of a 32 x _ x 24 grid at scale 2 begins at (0, 6, 0)."""
    np.testing.assert_array_equal(FRAME.to_world(np.array([16.0, 3.0, 12.0])), [0.0, 6.0, 0.0])


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=3))
@settings(deadline=None, max_examples=30)
def test_to_grid_inverts_to_world(point: list[float]) -> None:
    np.testing.assert_allclose(FRAME.to_grid(FRAME.to_world(np.array(point))), point, atol=1e-9)


def test_the_target_is_in_the_middle_and_up_is_up() -> None:
    camera = look_at(np.array([30.0, 20.0, 5.0]), np.array([1.0, 2.0, 3.0]), 45.0, 40, 20)
    np.testing.assert_allclose(pixel(camera, np.array([1.0, 2.0, 3.0]))[:2], [20.0, 10.0], atol=1e-9)
    assert pixel(camera, np.array([1.0, 3.0, 3.0]))[1] < 10.0
    np.testing.assert_allclose(camera.position, [30.0, 20.0, 5.0])


def test_east_is_right_of_a_camera_that_looks_north() -> None:
    camera = look_at(np.array([0.0, 0.0, 10.0]), np.zeros(3), 90.0, 20, 20)
    np.testing.assert_allclose(pixel(camera, np.array([5.0, 0.0, 0.0]))[:2], [15.0, 10.0])


def test_near_and_far_plane_are_the_ends_of_depth() -> None:
    camera = look_at(np.array([0.0, 0.0, 10.0]), np.zeros(3), 45.0, 8, 8, near=1.0, far=7.0)
    assert pixel(camera, np.array([0.0, 0.0, 9.0]))[2] == pytest.approx(-1.0)
    assert pixel(camera, np.array([0.0, 0.0, 3.0]))[2] == pytest.approx(1.0)


@settings(deadline=None, max_examples=60)
@given(
    eye=st.tuples(st.floats(20, 60), st.floats(5, 60), st.floats(20, 60)),
    point=st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10)),
    fov=st.floats(20, 100),
    edges=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
)
def test_the_ray_of_a_pixel_hits_the_point_that_projects_into_it(
    eye: tuple, point: tuple, fov: float, edges: tuple[int, int], shift: tuple[float, float]
) -> None:
    """Point -> clip -> pixel -> ray, also for a projection whose axis is off the middle."""
    camera = look_at(np.array(eye), np.zeros(3), fov, *edges)
    camera.projection[:2, 2] = shift
    u, v, _ = pixel(camera, np.array(point))
    rays = ray_bundle([camera], FRAME, dtype=torch.float64)
    direction = rays.basis[0].numpy() @ [u, v, 1.0]
    to_point = FRAME.to_grid(np.array(point)) - rays.eye[0].numpy()
    cosine = direction @ to_point / np.linalg.norm(direction) / np.linalg.norm(to_point)
    assert cosine == pytest.approx(1.0, abs=1e-9)


def test_rays_go_through_pixel_centres() -> None:
    camera = look_at(np.array([9.0, 8.0, 7.0]), np.zeros(3), 50.0, 3, 2)
    rays = ray_bundle([camera, camera], FRAME, dtype=torch.float64)
    directions = rays.directions()
    assert directions.shape == (2, 2, 3, 3)
    for row, column in ((0, 0), (1, 2)):
        seen = FRAME.to_world((rays.eye[1] + 3 * directions[1, row, column]).numpy())
        np.testing.assert_allclose(pixel(camera, seen)[:2], [column + 0.5, row + 0.5], atol=1e-9)


def test_resizing_keeps_what_the_height_shows() -> None:
    camera = look_at(np.array([0.0, 0.0, 10.0]), np.zeros(3), 45.0, 40, 40)
    wide, point = camera.resized(60, 20), np.array([1.0, 2.0, 3.0])
    before, after = pixel(camera, point)[:2] - 20, pixel(wide, point)[:2] - [30, 10]
    np.testing.assert_allclose(after, before / 2)  # square pixels, half as many in the height


@pytest.mark.parametrize("height", [10.0, -10.0])
def test_a_camera_may_look_straight_down_or_up(height: float) -> None:
    camera = look_at(np.array([0.0, height, 0.0]), np.zeros(3), 90.0, 20, 20)
    assert np.linalg.det(camera.view[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(pixel(camera, np.array([5.0, 0.0, 0.0]))[:2], [15.0, 10.0])


def test_a_camera_in_its_own_target_is_refused() -> None:
    with pytest.raises(ValueError, match=r"camera 'a' at \[1.0, 1.0, 1.0\] looks at the point it stands on"):
        look_at(np.ones(3), np.ones(3), 45.0, 8, 8, id="a")


def test_a_bundle_is_of_one_image_size() -> None:
    camera = look_at(np.ones(3), np.zeros(3), 45.0, 8, 8)
    with pytest.raises(ValueError, match=r"image sizes \[\(8, 8\), \(9, 8\)\]; give one or more"):
        ray_bundle([camera, camera.resized(9, 8)], FRAME)
    with pytest.raises(ValueError, match=r"image sizes \[\]; give one or more"):
        ray_bundle([], FRAME)
