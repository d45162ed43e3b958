"""MagicaVoxel scenes: models that are moved, turned, nested, shown twice or hidden."""

import struct
from pathlib import Path

import numpy as np
import pytest
from midvoxio.models import default_palette as midvoxio_palette

from tests.helpers.hostile import group, scene, shape, transform
from voxsds.formats import vox, voxfile
from voxsds.formats.voxscene import STILL, Model, Placed, Pose


def written(path: Path, *parts: tuple[str, bytes]) -> Path:
    path.write_bytes(scene(*parts))
    return path


def two_voxels() -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """A model, number 1, of 2 x 1 x 1: colour 5 at x = 0, colour 9 at x = 1."""
    return ("SIZE", struct.pack("<3i", 2, 1, 1)), ("XYZI", struct.pack("<i8B", 2, 0, 0, 0, 5, 1, 0, 0, 9))


def colors(path: Path) -> list[str]:
    """Names along x of a row of voxels."""
    build = vox.read(path)
    assert build.cells.shape[1:] == (1, 1)
    return [build.kinds[index].name for index in build.cells[:, 0, 0]]


FIVE, NINE = ("#{:02x}{:02x}{:02x}".format(*vox.default_palette()[i - 1, :3]) for i in (5, 9))


def test_a_file_without_a_palette_has_magicavoxels_own() -> None:
    """There entry 0 is nothing, and a number has the bytes alpha, blue, green, red."""
    theirs = np.array([[n & 255, n >> 8 & 255, n >> 16 & 255] for n in midvoxio_palette[1:256]])
    np.testing.assert_array_equal(vox.default_palette()[:255, :3], theirs)


def test_a_model_is_where_its_transforms_put_it(tmp_path: Path) -> None:
    parts = [transform(0, 1, {"_t": "10 0 0"}), group(1, 2, 4), transform(2, 3, {"_t": "3 0 0"}), shape(3, 1),
             transform(4, 5, {"_t": "0 0 0"}), shape(5, 1)]  # fmt: skip
    row = colors(written(tmp_path / "a.vox", *two_voxels(), *parts))
    assert row == [FIVE, NINE, vox.EMPTY.name, FIVE, NINE]


def test_a_turned_model_turns_about_its_pivot(tmp_path: Path) -> None:
    """20 = x to -x: mirrored in place, because the pivot of two voxels lies between them."""
    parts = [transform(0, 1, {"_r": "20"}), shape(1, 1)]
    assert colors(written(tmp_path / "a.vox", *two_voxels(), *parts)) == [NINE, FIVE]


@pytest.mark.parametrize(("size", "turned"), [((4, 2, 2), (-2, 2)), ((3, 1, 1), (-2, 1))])
def test_the_pivot_is_a_corner_of_voxels(size: tuple[int, int, int], turned: tuple[int, int]) -> None:
    """floor(size / 2): of three voxels at -1, 0, 1, turned round, at -2, -1, 0."""
    model = Model(size, np.zeros((0, 4), np.uint8))
    low, high = Placed(model, Pose(np.diag([-1, -1, 1]), STILL.shift)).corners()
    assert (low[0], high[0]) == turned


def test_a_rotation_is_read_row_by_row() -> None:
    """Rows (0 1 0), (0 0 -1), (1 0 0): ones at 1, 2, 0, the second negative."""
    turn = voxfile._turn(str(1 | 2 << 2 | 1 << 5), "a.vox")
    np.testing.assert_array_equal(turn, [[0, 1, 0], [0, 0, -1], [1, 0, 0]])


def test_poses_nest_as_matrices_do() -> None:
    inner = Pose(voxfile._turn("17", "a"), np.array([1, 2, 3]))
    outer = Pose(voxfile._turn("9", "a"), np.array([-5, 0, 7]))
    point = np.array([4, 5, 6])
    both = inner.after(outer)
    step = inner.turn @ point + inner.shift
    np.testing.assert_array_equal(both.turn @ point + both.shift, outer.turn @ step + outer.shift)


def test_hidden_models_and_layers_are_left_out_and_said(tmp_path: Path) -> None:
    hide = struct.pack("<2i", 1, 7) + b"_hidden" + struct.pack("<i", 1) + b"1"
    hidden = ("nTRN", struct.pack("<i", 2) + hide + struct.pack("<4i", 3, -1, 0, 1) + struct.pack("<i", 0))
    layered = ("nTRN", struct.pack("<2i", 4, 0) + struct.pack("<4i", 5, -1, 6, 1) + struct.pack("<i", 0))
    layer = ("LAYR", struct.pack("<i", 6) + hide + struct.pack("<i", -1))
    parts = [transform(0, 1, {}), group(1, 2, 4, 6), hidden, shape(3, 0), layered, shape(5, 0),
             transform(6, 7, {}), shape(7, 1), layer]  # fmt: skip
    path = written(tmp_path / "a.vox", *two_voxels(), *parts)
    assert colors(path) == [FIVE, NINE]
    assert vox.read(path).notes == ("2 hidden models or groups",)


def test_only_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = struct.pack("<i", 0) * 3
    moving = ("nTRN", struct.pack("<2i", 0, 0) + struct.pack("<4i", 1, -1, 0, 3) + frames)
    path = written(tmp_path / "a.vox", *two_voxels(), moving, shape(1, 1))
    assert colors(path) == [FIVE, NINE]
    assert vox.read(path).notes == ("2 frames of animation after the first",)
