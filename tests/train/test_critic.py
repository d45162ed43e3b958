"""How a run asks its teacher: with the numbers of the step, and the same whoever draws the views."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.edit import recipe, teacher_settings
from tests.helpers.oracles import LIT, latents_of, views, world
from voxsds.guidance.oracle import OracleTeacher
from voxsds.train.clock import StepClock
from voxsds.train.critic import Critic, Opinion, Part
from voxsds.train.plan import Plan
from voxsds.world.field import solid_field
from voxsds.world.palette import GRASS, SAND, SNOW, STONE

SHOWN, OTHER = world(SNOW, STONE), world(GRASS, SAND)
RAYS = views()
VIEWS = len(RAYS.eye)
RULES = recipe(views=VIEWS, teacher=teacher_settings(t_min=(0.3, 0.3), t_max=(0.4, 0.4)))
NOW = Plan.of(RULES, SHOWN.shape).at(0)


def critic(own: slice = slice(0, VIEWS), parts=(), teacher=None, rules=RULES) -> Critic:
    teacher = teacher or OracleTeacher([OTHER], [SHOWN], LIT, 16)
    return Critic(teacher, parts, rules, own, StepClock(torch.device("cpu")))


def asked(whom: Critic, now=NOW, step: int = 0, own: slice = slice(0, VIEWS)) -> tuple[Opinion, torch.Tensor]:
    """The opinion of views of `SHOWN`, and its gradient towards them."""
    images = (latents_of(SHOWN, RAYS)[own] / 2 + 0.5).requires_grad_()
    rays = replace(RAYS, eye=RAYS.eye[own], basis=RAYS.basis[own])
    said = whom.ask(images * 1, rays, None, step, now)
    said.loss.backward()
    assert images.grad is not None
    return said, images.grad


def test_timesteps_lie_between_the_ends_of_the_step():
    levels = [t for _ in range(10) for t in asked(critic())[0].timesteps.tolist()]
    assert 300 <= min(levels) <= max(levels) <= 400


def test_the_guidance_is_that_of_the_step():
    weak, strong = (asked(critic(), replace(NOW, guidance_scale=scale))[1] for scale in (1.0, 4.0))
    assert strong.norm() > 2 * weak.norm()


def test_processes_that_share_the_views_draw_the_same_noise():
    whole, by_all = asked(critic())
    for view in range(VIEWS):
        own = slice(view, view + 1)
        said, by_one = asked(critic(own), own=own)
        assert torch.equal(said.timesteps, whole.timesteps)
        torch.testing.assert_close(said.residual, whole.residual[own])
        # Each gradient is divided by the number of latents that were asked about.
        torch.testing.assert_close(by_one / VIEWS, by_all[own])


def test_parts_take_turns_and_move_their_own_cells():
    cells = torch.zeros(SHOWN.shape, dtype=torch.bool)
    cells[: len(cells) // 2] = True
    content = OracleTeacher([SHOWN], [SHOWN], LIT, 16)
    parts = [Part(content, cells), Part(OracleTeacher([OTHER], [SHOWN], LIT, 16), ~cells)]
    shared = critic(parts=parts)
    for step, own in ((0, cells), (1, ~cells), (2, cells)):
        field = solid_field(SHOWN, len(LIT))
        opacity = field.opacity.requires_grad_()
        shared.moved(field, step).opacity.sum().backward()
        assert opacity.grad is not None and torch.equal(opacity.grad != 0, own)
    happy, unhappy = (asked(critic(parts=parts), step=step)[0].residual.mean() for step in (0, 1))
    assert unhappy > 2 * happy


def test_pixels_are_clipped_before_the_encoder_s_gradient_goes_on():
    rules = replace(RULES, teacher=replace(RULES.teacher, pixel_clip=0.5))
    free, clipped = asked(critic())[1], asked(critic(rules=rules))[1]
    assert clipped.norm(dim=1).max() < free.norm(dim=1).max()


@pytest.mark.parametrize("parts", [False, True])
def test_only_the_prompt_of_a_whole_world_describes_it(parts):
    class Prompted(OracleTeacher):
        vocabulary = frozenset({"snow"})

        def with_prompt(self, prompt):
            return self

        def against_nothing(self):
            return self

    teacher = Prompted([SHOWN], [SHOWN, OTHER], LIT, 16)
    told = [Part(teacher, torch.ones(SHOWN.shape, dtype=torch.bool))] if parts else []
    whom = critic(parts=told, teacher=teacher)
    found = whom.probe(latents_of(SHOWN, RAYS) / 2 + 0.5, RAYS)
    assert found.margin > 0 and whom.describes(found) == (not parts)
