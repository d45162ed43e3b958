"""Export: what nobody saw stays, nothing floats, and the file shows what the grid shows."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stages import export as export_stage
from stages import init_grid, train
from teacher.worlds.materials import DIRT, ENGINE, GRASS, SNOW, STONE
from tests.helpers.edit import FRAME, SHAPE, house_on_grass, tower_on_snow, views
from tests.helpers.workspace import make_workspace, params
from voxsds.blocks.neighbours import components, floating
from voxsds.blocks.settle import sealed_holes
from voxsds.blocks.surface import visible
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.params import read_params
from voxsds.grid.file import GridFile, read_grid, write_grid
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.draw import draw
from voxsds.world.maps import BlockMap, read_map
from voxsds.world.palette import AIR

SETTINGS = ExportSettings(
    threshold=0.5,
    seen_reach=0.1,
    crumb_blocks=2,
    support_gap=2,
    stray_blocks=4,
    repaint_speckles=True,
    floating="settle",
    fill_holes=True,
)
SIZE = (8, 10, 8)


def grid_of(blocks: np.ndarray) -> DifferentiableVoxelGrid:
    return DifferentiableVoxelGrid.from_blocks(blocks, len(ENGINE), GridSettings((1, 2), 3.0, 4.0))


def ground(height: int = 2) -> np.ndarray:
    blocks = np.zeros(SIZE, int)
    blocks[:, :height] = GRASS
    return blocks


def exported(trained: np.ndarray, initial: np.ndarray, unseen: tuple = ()):
    """The export of a grid that draws `trained`, of which the voxels at `unseen` were never seen."""
    reach = torch.ones(trained.shape)
    for voxel in unseen:
        reach[voxel] = 0.05
    return export_blocks(grid_of(trained), reach, initial, SETTINGS)


def test_a_grid_that_was_seen_all_over_is_exported_as_it_is_but_for_what_is_hidden():
    start, trained = house_on_grass(), tower_on_snow()
    blocks, counts = exported(trained, start)
    hidden = (trained != AIR) & (start != AIR) & ~visible(trained)
    assert np.array_equal(blocks, np.where(hidden, start, trained))
    assert counts.hidden_restored == (hidden & (start != trained)).sum() > 0
    assert counts.blocks == (blocks > 0).sum() and counts.unseen_restored == counts.floating == 0


def test_what_was_never_seen_stays_as_it_was():
    trained = np.full(SIZE, SNOW)
    blocks, counts = exported(trained, ground(), unseen=((0, 0, 0), (3, 5, 3)))
    assert blocks[0, 0, 0] == GRASS and blocks[3, 5, 3] == AIR
    assert (blocks == SNOW).sum() == blocks.size - 2 - counts.hidden_restored
    assert counts.unseen_restored == 2


def test_holes_that_nobody_can_look_into_are_filled_again():
    initial, trained = ground(3), ground(3)
    initial[5, 1, 5] = AIR  # a cave of the map's own stays
    trained[2:4, 1, 2:4] = trained[5, 1, 5] = AIR
    trained[6, 2, 5:7] = AIR  # open above: a real edit
    blocks, counts = exported(trained, initial)
    assert counts.sealed_restored == 4 and blocks[5, 1, 5] == blocks[6, 2, 6] == blocks[6, 2, 5] == AIR
    assert (blocks[2:4, 1, 2:4] == GRASS).all()


def test_holes_open_to_a_side_are_not_sealed_but_the_ground_is_closed_below():
    blocks = ground(3)
    blocks[0, 1, 4] = blocks[4, 0, 4] = AIR
    assert np.argwhere(sealed_holes(blocks)).tolist() == [[4, 0, 4]]


def test_crumbs_and_strays_are_dropped_and_the_rest_falls():
    trained = ground()
    trained[1, 4, 1] = STONE  # a crumb, although it could be supported
    trained[0:2, 8, 6:8] = STONE  # four blocks too high to support
    trained[3:7, 8, 3:7] = STONE  # too large to drop, too high to support
    blocks, counts = exported(trained, ground())
    assert counts.groups_dropped == 2 and counts.blocks_dropped == 5
    assert counts.groups_fallen == 1 and counts.blocks_fallen == 16
    assert counts.floating == floating(blocks).sum() == 0 and (blocks[3:7, 2, 3:7] == STONE).all()
    assert not (blocks[:, 3:] != AIR).any()


def test_larger_groups_get_what_the_map_had_under_them():
    initial, trained = ground(3), ground(2)
    trained[3:5, 4:7, 3:5] = STONE
    blocks, counts = exported(trained, initial)
    assert counts.groups_supported == 1 and counts.blocks_supporting == 8 and counts.floating == 0
    assert (blocks[3:5, 2, 3:5] == GRASS).all() and (blocks[3:5, 3, 3:5] == STONE).all()


def test_only_the_columns_nearest_to_the_ground_are_supported():
    trained = ground()
    trained[2:6, 5, 4] = STONE
    trained[2, 4, 4] = STONE  # a bracket that hangs lower
    blocks, counts = exported(trained, ground())
    assert counts.blocks_supporting == 2 and (blocks[2, 2:4, 4] == STONE).all()
    assert (blocks[3:6, 2:5, 4] == AIR).all() and not floating(blocks).any()


def test_what_floated_in_the_map_may_float():
    initial = ground()
    initial[4, 8, 4] = STONE
    blocks, counts = exported(initial, initial)
    assert np.array_equal(blocks, initial) and counts.floating == 1 and counts.groups_dropped == 0


def test_components_are_joined_by_faces_only():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[0, 0, 1] = mask[1, 1, 1] = True
    assert [len(x) for x, _, _ in components(mask)] == [2, 1]


def test_a_grid_comes_back_from_disk_as_it_was(tmp_path):
    grid = grid_of(tower_on_snow())
    with torch.no_grad():
        for parameter in grid.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    saved = GridFile(grid, ENGINE, FRAME, torch.rand(SHAPE), {"prompt": "a tower"})
    write_grid(tmp_path / "a", saved)
    back = read_grid(tmp_path / "a")
    write_grid(tmp_path / "b", back)
    assert torch.equal(back.grid.material_logits, grid.material_logits) and back.run == saved.run
    assert back.frame == FRAME and back.palette.names == ENGINE.names
    for name in ("grid.safetensors", "grid.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_broken_grid_file_is_named(tmp_path):
    write_grid(tmp_path, GridFile(grid_of(ground()), ENGINE, FRAME, torch.zeros(SIZE)))
    (tmp_path / "grid.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="grid.safetensors: not a grid"):
        read_grid(tmp_path)


def run_stages(folder, monkeypatch) -> bytes:
    """init_grid, train and export in `folder`; the exported file."""
    folder.mkdir()
    make_workspace(folder, params(steps=30, image_every=30))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stage"])
    for stage in (init_grid, train, export_stage):
        stage.main(read_params("params.yaml"))
    return (folder / "maps/1/map_optimized.json").read_bytes()


def test_the_stages_keep_to_the_limits_of_params(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    values = params(steps=30, image_every=30)
    box = {"low": [8, 0, 0], "high": [19, 15, 19]}
    values["edit"] |= {"region": [box], "lock": ["Dirt"], "materials": ["Stone", "Snow"], "max_blocks": 40}
    make_workspace(tmp_path / "a", values)
    monkeypatch.chdir(tmp_path / "a")
    monkeypatch.setattr(sys, "argv", ["stage"])
    for stage in (init_grid, train, export_stage):
        stage.main(read_params("params.yaml"))
    start, result = (read_map(f"maps/1/{name}.json", ENGINE).blocks for name in ("map", "map_optimized"))
    drawn = read_grid(Path("out_local/model")).grid.blocks()  # the training kept to the limits too
    assert 0 < (result != start).sum() <= 40
    for world in (result, drawn):
        changed = world != start
        assert not changed[:8].any() and not changed[start == DIRT].any()
        assert np.isin(world[changed], [AIR, STONE, SNOW]).all()


def test_one_seed_gives_the_same_file_and_it_shows_the_hard_grid(tmp_path, monkeypatch):
    first, second = (run_stages(tmp_path / name, monkeypatch) for name in "ab")
    assert first == second
    trained = read_grid(tmp_path / "b/out_local/model")
    start = read_map(tmp_path / "b/maps/1/map.json", ENGINE)
    values = params()["export"]
    hard, counts = export_blocks(trained.grid, trained.reach, start.blocks, ExportSettings(**values))
    back = read_map(tmp_path / "b/maps/1/map_optimized.json", ENGINE)
    cameras = views(SHAPE, FRAME, 64)
    images = [draw(BlockMap(b, back.palette, back.frame), cameras) for b in (back.blocks, hard)]
    assert torch.equal(*images) and not np.array_equal(back.blocks, start.blocks)
    assert back.extra["metadata"]["prompt"] == "a stone tower on snow"
    report = json.loads((tmp_path / "b/out_local/export/export.json").read_text())
    assert report["blocks"] == counts.blocks == (back.blocks != AIR).sum()
    assert len(list((tmp_path / "b/out_local/init_imgs").glob("view_*.png"))) == 3
