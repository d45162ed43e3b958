import numpy as np
import pytest

from teacher.worlds.materials import DIRT, ENGINE, SNOW, STONE
from voxsds.render.light import AMBIENT_STRENGTH, HORIZON, SKY, irradiance, lit_faces
from voxsds.world.palette import FACE_NORMALS, Palette


def test_top_of_dirt_has_the_colour_computed_by_hand():
    # sun: n.s = 0.85 / |(.4, .85, .5)| = 0.85 / 1.064190 = 0.798729; ambient = .55 sky
    expected = np.array([0.42, 0.32, 0.20]) * (
        0.55 * np.array([0.53, 0.81, 0.92]) + 0.798729 * np.array([1.0, 0.97, 0.9])
    )
    assert lit_faces(ENGINE)[DIRT - 1, 2].numpy() == pytest.approx(expected, abs=1e-6)


def test_bottom_sees_only_the_horizon_and_the_top_only_the_sky():
    top, bottom = irradiance(np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]))
    assert bottom == pytest.approx(AMBIENT_STRENGTH * HORIZON)
    assert (top > AMBIENT_STRENGTH * SKY).all()


def test_sides_away_from_the_sun_get_the_mean_of_sky_and_horizon():
    away = irradiance(FACE_NORMALS)[[1, 5]]  # the sun shines towards -x and -z, so -x and -z are in shade
    assert away == pytest.approx(np.tile(AMBIENT_STRENGTH * (SKY + HORIZON) / 2, (2, 1)))


def test_snow_is_clamped_and_nothing_leaves_the_range_of_an_image():
    lit = lit_faces(ENGINE)
    assert (lit[SNOW - 1, 2] == 1.0).all()
    assert lit.min() > 0.0 and lit.max() == 1.0


def test_row_i_is_material_i_plus_one_and_each_face_has_its_own_albedo():
    albedo = np.zeros((2, 3, 3))
    albedo[1] = np.eye(3) * 0.1  # top red, bottom green, side blue
    lit = lit_faces(Palette(("Air", "Probe"), albedo))
    assert lit.shape == (1, 6, 3)
    assert lit[0].argmax(dim=1).tolist() == [2, 2, 0, 1, 2, 2]


def test_custom_materials_follow_the_known_ones_unchanged():
    more = ENGINE.extended(("Marble",), np.full((1, 3, 3), 0.5))
    assert (lit_faces(more)[:-1] == lit_faces(ENGINE)).all()
    assert more.index("Marble") == len(ENGINE) and more.index("Stone") == STONE
