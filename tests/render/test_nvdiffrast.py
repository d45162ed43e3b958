"""What holds for the nvdiffrast backend alone; its images and gradients: test_parity.py.

Without a GPU, `software_raster` takes the part of the rasteriser.
"""

import sys

import pytest
import torch

from tests.helpers.backends import ON_GPU, needs_nvdiffrast, stand_in
from tests.helpers.scenes import LIT, SHAPE, looking, parallel, random_field, rays_by_name
from voxsds.gradcheck.backends import Drawn, Scene
from voxsds.render import nvdiffrast_mesh, reference
from voxsds.render.nvdiffrast_cuda import peel
from voxsds.render.nvdiffrast_mesh import lattice, mesh, quads
from voxsds.render.renderer import choose_backend
from voxsds.world.palette import FACE_NORMALS

pytestmark = needs_nvdiffrast


@pytest.fixture(autouse=True)
def rasteriser(monkeypatch):
    stand_in("nvdiffrast", monkeypatch)


def on_gpu(rays):
    return Drawn(Scene("", random_field(), LIT, rays), "reference", ON_GPU).rays


def test_the_faces_of_one_voxel_that_look_at_a_corner_view_are_three_squares():
    faces = quads((1, 1, 1), torch.tensor([3.0, -2.0, 0.5]))
    assert faces.row.tolist() == [0, 3]  # +x and -y; within the slab of z there is no z face
    faces = quads((1, 1, 1), torch.tensor([3.0, -2.0, 9.0]))
    assert faces.row.tolist() == [0, 3, 4] and faces.rank.tolist() == [3, 3, 3]
    points = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]).double()
    for row, corners in zip(faces.row.tolist(), points[faces.corners], strict=True):
        normal = torch.as_tensor(FACE_NORMALS[row]).double()
        assert torch.equal((corners - 0.5) @ normal, torch.full((4,), 0.5).double())
        assert torch.equal((corners - corners.roll(1, 0)).norm(dim=1), torch.ones(4).double())


@pytest.mark.parametrize("name", ["outside", "inside", "tall image"])
def test_along_every_ray_each_voxel_is_one_rank_further_than_the_last(name):
    rays = rays_by_name()[name]
    voxels, faces, there = reference.walk(SHAPE, rays)
    pixels = rays.height * rays.width
    for view in range(len(rays.eye)):
        made = quads(SHAPE, rays.eye[view])
        rank_of = torch.full((6 * 5 * 4 * 6,), -1)
        rank_of[made.row] = made.rank
        mine = slice(view * pixels, (view + 1) * pixels)
        ranks, valid = rank_of[(6 * voxels + faces)[:, mine]], there[:, mine]
        assert (ranks[valid] > 0).all()  # every face entered is one of the quads
        both = valid[1:] & valid[:-1]
        assert both.any() and ((ranks[1:] - ranks[:-1])[both] == 1).all()


def test_a_lattice_point_is_seen_at_the_pixel_whose_ray_goes_through_it():
    rays = rays_by_name()["outside"]
    x, y, w = lattice(SHAPE, rays, 1).unbind(dim=1)
    u, v = (x / w + 1) * rays.width / 2, (y / w + 1) * rays.height / 2
    there = rays.eye[1] + w[:, None] * (torch.stack([u, v, torch.ones_like(u)], dim=1) @ rays.basis[1].T)
    points = torch.stack(torch.meshgrid(*[torch.arange(n + 1.0) for n in SHAPE], indexing="ij"), dim=-1)
    assert torch.allclose(there, points.reshape(-1, 3).double(), rtol=0, atol=1e-12)


def test_depths_are_apart_by_far_more_than_a_depth_buffer_needs():
    scene = mesh((512, 2, 512), looking([(2.5, 1.5, 2.5)], (500.0, 1.0, 500.0)), 0)
    depth = (scene.vertices[0, :, 2] / scene.vertices[0, :, 3]).double()
    steps = depth.sort().values.diff()
    between = steps[steps > 1e-5]  # rounding of one depth: 1e-7; nvdiffrast's own: under 1e-5
    assert between.numel() > 900 and between.min() > 1e-3 and depth.abs().max() < 1


def test_peeling_goes_on_until_what_is_left_is_under_the_bound():
    opacity, rays = (
        random_field((8, 6, 8)).opacity.to(ON_GPU),
        on_gpu(looking([(13.1, 9.2, 12.3)], (4, 3, 4))),
    )
    layers = {stop: peel(opacity, rays, 0, 0.0, stop, beyond=False) for stop in (0.0, 1e-3, 0.3)}
    assert layers[0.0].residual == 0
    assert 0 < layers[1e-3].residual <= 1e-3 < layers[0.3].residual <= 0.3
    assert len(layers[0.3].rows) < len(layers[1e-3].rows) <= len(layers[0.0].rows) <= 8 + 6 + 8 + 1
    behind = peel(opacity, rays, 0, 0.0, 0.3, beyond=True)
    assert (behind.rows >= 0).sum() > (layers[0.3].rows >= 0).sum()  # what derivatives need


@pytest.mark.parametrize("eye", [(9.0, 7.0, 10.0), (0.5, 0.5, 0.5)], ids=["looks away", "in the only voxel"])
def test_a_view_without_faces_shows_the_background(eye):
    shape = (1, 1, 1) if eye[0] < 1 else SHAPE
    scene = Scene("", random_field(shape), LIT, looking([eye], (18.0, 14.0, 20.0)))
    drawn = Drawn(scene, "nvdiffrast", ON_GPU)
    assert (drawn.rgba[:, 3] == 0).all() and (drawn.reach == 0).all() and (drawn.hits() == -1).all()
    assert all((product == 0).all() for product in drawn.products(torch.ones_like(drawn.rgba)))


def test_rays_in_one_plane_are_refused():
    with pytest.raises(ValueError, match="view 0: its rays lie in one plane.*use 'auto'"):
        Drawn(Scene("", random_field(), LIT, parallel([(9, 9, 9)], (-1, -1, -1))), "nvdiffrast", ON_GPU)


def test_more_faces_than_the_rasteriser_takes_are_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(nvdiffrast_mesh, "MAX_QUADS", 300)
    with pytest.raises(
        ValueError, match="5 x 4 x 6 has 360 voxel faces.*rasterises 300: use backend 'triton'"
    ):
        quads(SHAPE, torch.tensor([9.0, 9.0, 9.0]))


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ValueError, match="'nvdiffrast' (needs the package|is for CUDA).*use 'auto'"):
        choose_backend("nvdiffrast", torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    with pytest.raises(ValueError, match="research and evaluation only.*pip install"):
        choose_backend("nvdiffrast", torch.device("cuda"))
