"""What the benchmark of a step compares with: the nearest face of each pixel."""

import torch

from benchmarks.original import nearest_faces
from tests.helpers.scenes import LIT, looking
from voxsds.render.light import SKY
from voxsds.render.renderer import render
from voxsds.world.field import Field, solid_field

SHAPE = (6, 5, 6)


def world(opacity: float = 1.0) -> Field:
    blocks = torch.randint(0, len(LIT) + 1, SHAPE, generator=torch.Generator().manual_seed(0)).numpy()
    field = solid_field(blocks, len(LIT))
    return Field(opacity * field.opacity, field.material)


RAYS = looking([(14.0, 11.0, 16.0)], (3, 2, 3))


def test_of_opaque_blocks_it_draws_what_the_exact_renderer_draws():
    lit = LIT.float()
    exact = render(*world(), lit, RAYS, backend="numba").rgba[:, :3]
    torch.testing.assert_close(nearest_faces(world(), lit, RAYS, "numba"), exact, rtol=0, atol=1e-5)


def test_behind_a_half_transparent_block_it_sees_the_sky_instead_of_the_next_block():
    lit, sky = LIT.float(), torch.tensor(SKY, dtype=torch.float32)[:, None, None]
    opaque, half = (nearest_faces(world(opacity), lit, RAYS, "numba")[0] for opacity in (1.0, 0.5))
    torch.testing.assert_close(half, (opaque + sky) / 2, rtol=0, atol=1e-5)


def test_only_the_nearest_blocks_get_a_gradient():
    field = Field(*(t.requires_grad_() for t in world()))
    nearest_faces(field, LIT.float(), RAYS, "numba").sum().backward()
    assert field.opacity.grad is not None
    touched = (field.opacity.grad != 0).sum()
    assert 0 < touched < (field.opacity > 0).sum()
