"""Meshes: the faces of the blocks, in few rectangles and in their colours, as trimesh reads them."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from teacher.worlds.materials import ENGINE, SNOW, STONE
from voxsds.formats import glb
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap, read_map
from voxsds.world.palette import AIR, BOTTOM, SIDE, TOP

MAPS = Path(__file__).parents[2] / "maps"


def world_of(blocks: np.ndarray) -> BlockMap:
    return BlockMap(blocks, ENGINE, Frame((blocks.shape[0] / 2, blocks.shape[2] / 2)), {})


def mixed_world() -> BlockMap:
    """No two axes alike, every material in it, and no symmetry."""
    return world_of(np.random.default_rng(3).integers(0, 8, (5, 7, 9)))


def test_trimesh_reads_our_glb_and_its_faces_are_those_of_the_blocks(tmp_path: Path) -> None:
    world = mixed_world()
    glb.write(tmp_path / "a.glb", world)
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    # So faces look outwards, and none is missing.
    assert mesh.volume == pytest.approx((world.blocks != AIR).sum())
    filled = np.pad(world.blocks != AIR, 1)
    visible = sum(int(np.abs(np.diff(filled.astype(int), axis=axis)).sum()) for axis in range(3))
    assert mesh.area == pytest.approx(visible)
    low, high = mesh.bounds
    x, y, z = world.blocks.shape
    np.testing.assert_allclose([low, high], [(-x / 2, 0, -z / 2), (x / 2, y, z / 2)])


def test_colours_of_the_glb_are_those_of_the_faces(tmp_path: Path) -> None:
    world = mixed_world()
    glb.write(tmp_path / "a.glb", world)
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    image = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    x, _, z = world.blocks.shape
    behind = np.floor(mesh.triangles_center + (x / 2, 0, z / 2) - 0.01 * mesh.face_normals).astype(int)
    for at, normal, corners in zip(behind, mesh.face_normals, mesh.faces, strict=True):
        u = mesh.visual.uv[corners, 0]
        assert np.ptp(u) == 0
        slot = TOP if normal[1] > 0.5 else BOTTOM if normal[1] < -0.5 else SIDE
        expected = np.round(255 * ENGINE.albedo[world.blocks[tuple(at)], slot])
        np.testing.assert_array_equal(image[0, int(u[0] * image.shape[1])], expected)


def test_faces_of_one_colour_become_rectangles(tmp_path: Path) -> None:
    """A floor of 8 x 1 x 6 in two halves: two rectangles on each side of it, but one at the ends."""
    blocks = np.full((8, 1, 6), STONE)
    blocks[4:] = SNOW
    glb.write(tmp_path / "a.glb", world_of(blocks))
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert len(mesh.faces) == 2 * (4 * 2 + 2) and mesh.area == 2 * (48 + 8 + 6)


@given(seed=st.integers(0, 2**32 - 1), sides=st.tuples(*[st.integers(1, 6)] * 3), kinds=st.integers(1, 3))
def test_rectangles_cover_what_is_not_0_once(seed: int, sides: tuple[int, int, int], kinds: int) -> None:
    values = np.random.default_rng(seed).integers(0, kinds + 1, sides)
    covered = np.zeros_like(values)
    for layer, row, column, rows, columns, value in glb.rectangles(values):
        covered[layer, row : row + rows, column : column + columns] += value
    assert np.array_equal(covered, values)


def test_the_shipped_map_is_a_small_mesh(tmp_path: Path) -> None:
    """Face by face `maps/2` is 44,220 triangles in 2.3 MB; in rectangles 8,986 in 0.47 MB."""
    glb.write(tmp_path / "a.glb", read_map(MAPS / "2" / "map.json", ENGINE))
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert mesh.area == 22_110 and len(mesh.faces) < 10_000
    assert (tmp_path / "a.glb").stat().st_size < 500_000
