import dataclasses
import json
import runpy
import sys

import numpy as np
import pytest
import torch

from teacher.worlds.materials import DIRT, ENGINE, GRASS, STONE
from voxsds.files.disk import write_text
from voxsds.gradcheck import errors as gradient_errors
from voxsds.gradcheck import gate as module
from voxsds.gradcheck.gate import Gate, GradcheckSettings, gate_verdict, gradcheck, gradient_test
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import present_backends, render
from voxsds.world.cameras import Frame, look_at
from voxsds.world.datasets import write_dataset
from voxsds.world.maps import BlockMap, write_map

SHAPE = (8, 6, 8)
FRAME = Frame((4.0, 4.0), 1.0)
SETTINGS = GradcheckSettings(
    view=0,
    image_size=48,
    initial_logit=5.0,
    initial_material_logit=10.0,
    occupancy_temperature=1.0,
    material_temperature=2.0,
    threshold=0.05,
    target=(0.5, 0.5, 0.5),
    directions=2,
    step=1e-4,
    single_blocks=6,
    backend="auto",
    gate=Gate(norm=0.2, health=0.5, blocks=0.5, difference_error=1e-6, block_error=1e-9),
)
PLAN_KEYS = {
    "has_gradient",
    "differentiable",
    "gradient_norm_l2",
    "gradient_health_score",
    "blocks_with_gradients",
    "has_nan_gradients",
    "has_inf_gradients",
}


def hill() -> BlockMap:
    x, y, z = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    height = 4.5 - ((x - 3.5) ** 2 + (z - 3.5) ** 2) / 8
    blocks = np.where(y < height - 2, STONE, np.where(y < height - 1, DIRT, np.where(y < height, GRASS, 0)))
    return BlockMap(blocks, ENGINE, FRAME, {})


def camera(away=False):
    eye, middle = FRAME.to_world(np.array([14.0, 9.0, 13.0])), FRAME.to_world(np.array([4.0, 2.0, 4.0]))
    return look_at(eye, 2 * eye - middle if away else middle, 45.0, 64, 48, id="view")


def grid_of(world, levels=(1,), dtype=torch.float64):
    settings = GridSettings(levels, SETTINGS.initial_logit, SETTINGS.initial_material_logit)
    return DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings, dtype)


def test_a_hill_passes_with_errors_far_under_the_tolerances():
    report = gradcheck(hill(), camera(), SETTINGS, seed=0)
    assert report.ok and report.failures == ()
    differences, blocks = report.errors["central_differences"], report.errors["single_blocks"]
    assert 0 < max(differences.values()) < 1e-7  # worst seen: 1e-8, of the step's own error
    assert max(blocks.values()) < 1e-13  # worst seen: 5e-16


def test_every_backend_of_this_machine_is_compared_with_the_reference_hard_and_soft():
    backends = gradcheck(hill(), camera(), SETTINGS, seed=0).backends
    assert backends.keys() == present_backends().keys() - {"reference"} and "numba" in backends
    for name, by_scene in backends.items():
        assert by_scene.keys() == {"hard", "soft"}
        for found in by_scene.values():
            assert (
                found.against == "reference"
                and found.pixels == 64 * 48
                and found.same_walk >= (0.8 if name == "nvdiffrast" else 1.0)
            )
            assert found.wrong_hits == 0 and found.worst() < 1e-12


def test_backends_are_compared_with_numba_where_the_world_is_too_large_for_the_reference(monkeypatch):
    monkeypatch.setattr(module, "REFERENCE_VOXELS", 8 * 6 * 8 - 1)
    backends = gradcheck(hill(), camera(), SETTINGS, seed=0).backends
    assert backends.keys() == present_backends().keys() - {"reference", "numba"}
    assert all(found.against == "numba" for by_scene in backends.values() for found in by_scene.values())


def test_every_key_of_the_plan_is_there_for_both_kinds_of_logits():
    test = gradcheck(hill(), camera(), SETTINGS, seed=0).gradient_test
    assert test.keys() >= PLAN_KEYS | {"per_material_gradients"} and test["occupancy"].keys() >= PLAN_KEYS
    assert [*test["per_material_gradients"]] == [f"material_{i}" for i in range(8)]
    by_material = [figures["norm_l2"] for figures in test["per_material_gradients"].values()]
    assert np.hypot.reduce(by_material) == pytest.approx(test["gradient_norm_l2"])
    json.dumps(test, allow_nan=False)


def test_more_pixels_do_not_shrink_the_gradient():
    coarse, fine = (
        gradient_test(
            grid_of(hill()),
            ENGINE,
            FRAME,
            camera(),
            dataclasses.replace(SETTINGS, image_size=size),
        )["gradient_norm_l2"]
        for size in (24, 96)
    )
    assert fine == pytest.approx(16 * coarse, rel=0.2)  # a sum over 16 times the pixels


def test_levels_and_precision_of_the_grid_do_not_matter_and_it_stays_as_it_is():
    trained = grid_of(hill(), (1, 2, 4), torch.float32)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    actual = gradient_test(trained, ENGINE, FRAME, camera(), SETTINGS)
    expected = gradient_test(grid_of(hill()), ENGINE, FRAME, camera(), SETTINGS)
    assert actual["gradient_norm_l2"] == pytest.approx(expected["gradient_norm_l2"], rel=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert all(parameter.grad is None for parameter in trained.parameters())


def test_a_camera_that_sees_nothing_shuts_the_gate_and_says_why():
    report = gradcheck(hill(), camera(away=True), SETTINGS, seed=0)
    assert not report.ok and not report.gradient_test["has_gradient"]
    assert "material logits: no gradient arrives" in report.failures
    assert any("0% of the visible blocks" in failure for failure in report.failures)
    assert gate_verdict(report, SETTINGS)["ok"] is False


@pytest.mark.parametrize("which", ["opacity", "material"])
def test_a_renderer_whose_gradient_is_two_percent_off_is_caught(which, monkeypatch):
    def wrong(opacity, material, *rest, **knobs):
        field = {"opacity": opacity, "material": material}
        field[which] = 1.02 * field[which] - 0.02 * field[which].detach()
        return render(field["opacity"], field["material"], *rest, **knobs)

    monkeypatch.setattr(gradient_errors, "render", wrong)
    report = gradcheck(hill(), camera(), SETTINGS, seed=0)
    caught = " ".join(report.failures)
    assert "central_differences, material" in caught
    assert ("single_blocks, added" in caught) == ("single_blocks, removed" in caught) == (which == "opacity")


def test_a_renderer_without_births_is_caught_by_adding_blocks(monkeypatch):
    def lifeless(opacity, *rest, **knobs):
        drawn = torch.where(opacity > knobs["threshold"], opacity, opacity.detach())
        return render(drawn, *rest, **knobs)

    monkeypatch.setattr(gradient_errors, "render", lifeless)
    failures = gradcheck(hill(), camera(), SETTINGS, seed=0).failures
    assert [f.split(":")[0] for f in failures] == ["single_blocks, added"]


def test_a_logit_that_is_not_a_number_is_reported():
    grid = grid_of(hill())
    with torch.no_grad():
        grid.material_residuals[0][2, 4, 3, 4] = torch.nan
    test = gradient_test(grid, ENGINE, FRAME, camera(), SETTINGS)
    assert test["has_nan_gradients"] and not test["differentiable"] and not test["ok"]


def test_health_counts_blocks_whose_gradient_neither_vanishes_nor_explodes():
    by_voxel = torch.tensor([1.0, 2.0, 1.5, 1e-9, 1e9, 0.0, 1.0, 99.0], dtype=torch.float64).reshape(2, 2, 2)
    visible = torch.tensor([1, 1, 1, 1, 1, 1, 1, 0], dtype=torch.bool).reshape(2, 2, 2)
    figures = module._figures(by_voxel, by_voxel, visible, SETTINGS.gate)
    assert figures["visible_blocks"] == 7
    assert figures["blocks_with_gradients"] == pytest.approx(6 / 7)
    assert figures["gradient_health_score"] == pytest.approx(4 / 7)


def test_knobs_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match="image_size is 0, step is -1.0; must be positive"):
        dataclasses.replace(SETTINGS, image_size=0, step=-1.0)


def test_loss_to_a_target_colour_falls_and_the_rendered_colours_move_towards_it():
    world, target = hill(), torch.tensor([0.8, 0.7, 0.5])
    grid = grid_of(world, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # undecided materials, as in the plan's end-to-end test
        residual = grid.material_residuals[0]
        residual.copy_(torch.randn(residual.shape, generator=generator) - grid.initial_material)
    rays, lit = ray_bundle([camera()], FRAME), lit_faces(ENGINE)
    optimizer = torch.optim.Adam(grid.parameters(), lr=0.3)
    losses, distances, hill_pixels = [], [], torch.ones(())
    for _ in range(25):
        rgba = render(*grid.field(1.0, 1.0), lit, rays, threshold=0.05).rgba
        loss = (rgba[:, :3] - target[:, None, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for parameter in grid.parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
        assert all(parameter.grad.norm() > 0 for parameter in grid.parameters())
        optimizer.step()
        hill_pixels = rgba[0, 3] > 0.5 if not losses else hill_pixels
        losses.append(loss.item())
        distances.append((rgba[0, :3, hill_pixels] - target[:, None]).norm(dim=0).mean().item())
    assert all(after < before for before, after in zip(losses, losses[1:], strict=False))
    assert losses[-1] < 0.75 * losses[0] and distances[-1] < 0.5 * distances[0]


PARAMS = """
seed: 7
map_id: {map_id}
palette: engine
gradcheck:
  view: {view}
  image_size: 48
  initial_logit: 5.0
  initial_material_logit: 10.0
  occupancy_temperature: 1.0
  material_temperature: 2.0
  threshold: 0.05
  target: [0.5, 0.5, 0.5]
  directions: 1
  step: 0.0001
  single_blocks: 3
  backend: auto
  gate: {{norm: {norm}, health: 0.5, blocks: 0.5, difference_error: 0.00001, block_error: 0.000001}}
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Runs the stage on a small map in an empty folder with the given knobs."""
    write_map(tmp_path / "maps/3/map.json", hill())
    black = np.zeros((48, 64, 3))
    write_dataset(tmp_path / "datasets/3", [camera()], [black], "test")
    monkeypatch.chdir(tmp_path)

    def run(view=0, norm=0.2):
        write_text("params.yaml", PARAMS.format(map_id=3, view=view, norm=norm))
        monkeypatch.setattr(sys, "argv", ["gradcheck"])
        runpy.run_module("stages.gradcheck", run_name="__main__")

    return run, tmp_path / "out_local"


def test_the_stage_writes_the_same_verdict_whatever_the_figures(stage):
    run, out = stage
    run()
    verdict = (out / "gradcheck/gate.json").read_bytes()
    log = json.loads((out / "nv_diff_logs/dataset_3_diff_log.json").read_text())
    assert log["gradient_test"].keys() >= PLAN_KEYS and log["gradient_test"]["ok"] is True
    assert log["backends"]["numba"]["soft"]["same_walk"] == 1.0
    assert json.loads(verdict)["ok"] is True
    run()
    assert (out / "gradcheck/gate.json").read_bytes() == verdict


def test_a_shut_gate_stops_the_pipeline_with_a_message_after_writing_the_figures(stage):
    run, out = stage
    with pytest.raises(SystemExit, match="(?s)gate is shut.*its norm is .*, needed is over 1e"):
        run(norm="1000000.0")
    assert (
        json.loads((out / "nv_diff_logs/dataset_3_diff_log.json").read_text())["gradient_test"]["ok"] is False
    )


def test_a_view_that_the_dataset_lacks_is_named(stage):
    run, _ = stage
    with pytest.raises(SystemExit, match="gradcheck.view is 4; datasets/3 has views 0 to 0"):
        run(view=4)
