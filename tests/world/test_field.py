"""Plain blocks with the gradient of a soft grid."""

import torch

from voxsds.world.field import Field, straight_through


def soft() -> Field:
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 8, generator=draws)
    material = torch.softmax(logits[..., 1:], dim=-1)
    return Field(torch.sigmoid(logits[..., 0]).requires_grad_(), material.requires_grad_())


def test_blocks_are_drawn_where_there_is_more_of_one_than_not():
    field = soft()
    plain = straight_through(field)
    assert torch.equal(plain.opacity, (field.opacity > 0.5).float())
    assert torch.equal(plain.material.argmax(dim=-1), field.material.argmax(dim=-1))
    assert set(plain.material.unique().tolist()) == {0.0, 1.0} and (plain.material.sum(dim=-1) == 1).all()


def test_the_gradient_is_that_of_the_soft_grid():
    field = soft()
    towards = [torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) for t in field]
    got = torch.autograd.grad(straight_through(field), field, towards)
    assert all(torch.equal(g, t) for g, t in zip(got, towards, strict=True))
