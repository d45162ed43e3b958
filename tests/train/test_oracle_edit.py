"""The whole chain on a known edit: an ideal teacher, which knows the world to arrive at, gets it."""

import numpy as np
import pytest
import torch

from teacher.worlds.materials import ENGINE
from tests.helpers.edit import (
    FRAME,
    HELD_OUT,
    SHAPE,
    house_on_grass,
    recipe,
    teacher_settings,
    tower_on_snow,
    training,
    views,
)
from tests.helpers.oracles import DIFFUSION, SHIFTED
from voxsds.blocks.neighbours import floating
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.render.draw import psnr
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import first_hit, render
from voxsds.train.training import train
from voxsds.world.field import solid_field
from voxsds.world.palette import AIR

SOLIDS = len(ENGINE) - 1
EXPORT = ExportSettings(
    threshold=0.5,
    seen_reach=0.1,
    crumb_blocks=8,
    support_gap=3,
    stray_blocks=64,
    repaint_speckles=True,
    floating="settle",
    fill_holes=True,
)


def visible(blocks: np.ndarray) -> np.ndarray:
    """The blocks that some pixel of the dataset's views, drawn finely, sees first."""
    hits = first_hit(solid_field(blocks, SOLIDS).opacity, ray_bundle(views(SHAPE, FRAME, 96), FRAME)).voxel
    seen = np.zeros(blocks.size, bool)
    seen[hits[hits >= 0].numpy()] = True
    return seen.reshape(blocks.shape)


def held_out(field) -> torch.Tensor:
    lit = lit_faces(ENGINE).float()
    return render(*field, lit, ray_bundle(HELD_OUT, FRAME)).rgba[:, :3]


NOISE = {"diffusion": DIFFUSION, "flow": SHIFTED}


@pytest.fixture(scope="module", params=[(method, noise) for noise in NOISE for method in ("sds", "jump")])
def edited(request):
    """Start, target, the run, and the exported result, by each method and under noise of each kind."""
    (method, noise), start, target = request.param, house_on_grass(), tower_on_snow()
    rules = recipe(steps=300, teacher=teacher_settings(method=method))
    run = training(start, target, rules, noise=NOISE[noise])
    records = list(train(run))
    result, _ = export_blocks(run.grid, run.reach, start, EXPORT)
    return start, target, run, records, result


@pytest.mark.slow
def test_removes_adds_and_repaints_the_visible_blocks(edited):
    start, target, _, _, result = edited
    seen = visible(start) | visible(target)
    was, wanted = start != AIR, target != AIR
    removed, added = seen & was & ~wanted, seen & ~was & wanted
    repainted, same = seen & was & wanted & (start != target), seen & (start == target)
    assert min(removed.sum(), added.sum(), repainted.sum(), same.sum()) > 20
    assert (result[removed] == AIR).mean() >= 0.95
    assert (result[added] != AIR).mean() >= 0.90
    assert (result[repainted] == target[repainted]).mean() >= 0.90
    assert (result[same] == target[same]).mean() >= 0.90


@pytest.mark.slow
def test_exported_blocks_look_like_the_target_from_views_never_trained_on(edited):
    start, target, run, _, result = edited
    wanted, got = held_out(solid_field(target, SOLIDS)), held_out(solid_field(result, SOLIDS))
    with torch.no_grad():
        soft = held_out(run.field())
    assert np.mean([psnr(a, b) for a, b in zip(got, wanted, strict=True)]) >= 30.0
    assert psnr(soft, got) >= 28.0
    assert psnr(held_out(solid_field(start, SOLIDS)), wanted) < 15.0


@pytest.mark.slow
def test_the_probe_falls_and_nothing_floats(edited):
    _, _, _, records, result = edited
    probes = [record.probe["eps"] for record in records if record.probe]
    assert probes[-1] < 0.1 * probes[0]
    assert not floating(result).any()
