"""That the comparison of backends finds what differs, where it differs, and how much."""

import pytest
import torch

from tests.helpers.scenes import LIT, SHAPE, random_field, rays_by_name
from voxsds.gradcheck import backends as parity
from voxsds.gradcheck.backends import Scene, agreement, agreements, dissolved
from voxsds.render import reference
from voxsds.render.renderer import Hits, Rendering, first_hit, render
from voxsds.world.maps import EMPTY_SHAPE

SCENE = Scene("soft", random_field(), LIT, rays_by_name()["outside"])
BACKENDS = {"reference": torch.device("cpu"), "numba": torch.device("cpu")}


def wrong(monkeypatch, change):
    """The agreement of numba with the reference where `change` is done to what numba renders."""

    def changed(*arguments, **knobs):
        drawn = render(*arguments, **knobs)
        return change(drawn) if knobs["backend"] == "numba" else drawn

    monkeypatch.setattr(parity, "render", changed)
    return agreements([SCENE], BACKENDS)["numba"]["soft"]


def test_the_same_backend_agrees_with_itself_to_the_bit():
    drawn = parity.Drawn(SCENE, "numba")
    found = agreement(drawn, drawn)
    assert (found.same_walk, found.wrong_hits, found.worst()) == (1.0, 0, 0.0) and found.pixels == 126


@pytest.mark.parametrize("mistake", ["last voxel missed", "entered through another face"])
def test_one_wrong_step_of_a_ray_is_another_walk(mistake, monkeypatch):
    voxels, faces, there = reference.walk(SHAPE, SCENE.rays)
    wrong_faces, fewer = faces.clone(), there.clone()
    for ray, count in enumerate(there.int().sum(dim=0).tolist()):
        if mistake == "last voxel missed":
            fewer[count - 1, ray] = False
        else:
            wrong_faces[count - 1, ray] = (faces[count - 1, ray] + 2) % 6
    numba = parity.Drawn(SCENE, "numba")
    monkeypatch.setattr(reference, "walk", lambda *_: (voxels, wrong_faces, fewer))
    found = agreement(parity.Drawn(SCENE, "reference"), numba)
    rays = int(there.any(dim=0).sum())
    assert round((1 - found.same_walk) * found.pixels) == rays > 50


def test_a_colour_off_by_a_thousandth_is_measured(monkeypatch):
    def brighter(drawn):
        return Rendering(drawn.rgba + torch.where(drawn.rgba.detach() > 0.5, 1e-3, 0.0), drawn.reach)

    # the probe, too, is brighter there: those pixels count as another walk, and no error is hidden by it
    assert wrong(monkeypatch, brighter).same_walk < 0.9


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_a_gradient_two_percent_off_is_measured(monkeypatch, factor):
    def off(drawn):
        image = drawn.rgba
        return Rendering(factor * image + (1 - factor) * image.detach(), drawn.reach)

    found = wrong(monkeypatch, off)
    assert found.same_walk == 1 and found.color < 1e-14
    assert found.by_opacity == pytest.approx(0.02) and found.by_material == pytest.approx(0.02)


def test_another_reach_and_other_hits_are_measured(monkeypatch):
    found = wrong(monkeypatch, lambda drawn: Rendering(drawn.rgba, 0.9 * drawn.reach))
    assert found.reach == pytest.approx(0.1)

    def hit(*arguments, **knobs):
        hits = first_hit(*arguments, **knobs)
        return (
            Hits(hits.voxel, torch.where(hits.face == 2, 3, hits.face))
            if knobs["backend"] == "numba"
            else hits
        )

    tops = int((first_hit(SCENE.field.opacity, SCENE.rays).face == 2).sum())
    monkeypatch.setattr(parity, "first_hit", hit)
    assert agreements([SCENE], BACKENDS)["numba"]["soft"].wrong_hits == tops > 0


def test_a_dissolved_world_has_opacities_of_all_kinds_and_mixed_materials():
    blocks = torch.zeros(EMPTY_SHAPE, dtype=torch.int64).numpy()
    blocks[:, :8] = 3
    field = dissolved(blocks, 7)
    for part in (field.opacity[:, :8], field.opacity[:, 8:]):
        assert (part == 0).any() and (part == 1).any() and ((part > 0.3) & (part < 0.7)).any()
    assert torch.allclose(field.material.sum(dim=-1), torch.ones(1).double())
    assert field.opacity[:, :8].mean() > field.opacity[:, 8:].mean() + 0.2
