"""How a run asks its teacher: with the numbers of the step, and the same whoever draws the views."""

from dataclasses import replace

import pytest
import torch

from teacher.worlds.materials import GRASS, SAND, SNOW, STONE
from tests.helpers.edit import recipe, teacher_settings
from tests.helpers.oracles import LIT, latents_of, oracle, views, world
from tests.helpers.teachers import changed
from voxsds.guidance.oracle import OracleTeacher
from voxsds.train.clock import StepClock
from voxsds.train.critic import Critic, Opinion, Part
from voxsds.train.plan import Plan
from voxsds.world.field import solid_field

SHOWN, OTHER = world(SNOW, STONE), world(GRASS, SAND)
RAYS = views()
VIEWS = len(RAYS.eye)
RULES = recipe(views=VIEWS, teacher=teacher_settings(t_min=(0.3, 0.3), t_max=(0.4, 0.4)))
NOW = Plan.of(RULES, SHOWN.shape).at(0)


def critic(own: slice = slice(0, VIEWS), parts=(), asked=None, rules=RULES) -> Critic:
    return Critic(*(asked or oracle([OTHER], [SHOWN])), parts, rules, own, StepClock(torch.device("cpu")))


def asked(whom: Critic, now=NOW, step: int = 0, own: slice = slice(0, VIEWS)) -> tuple[Opinion, torch.Tensor]:
    """The opinion of views of `SHOWN`, and its gradient towards them."""
    images = (latents_of(SHOWN, RAYS)[own] / 2 + 0.5).requires_grad_()
    rays = replace(RAYS, eye=RAYS.eye[own], basis=RAYS.basis[own])
    said = whom.ask(images * 1, rays, step, now)
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
    teacher = OracleTeacher({"": [SHOWN], "as it is": [SHOWN], "otherwise": [OTHER]}, LIT, 16)
    content, unlike = (teacher.read(text, None) for text in ("as it is", "otherwise"))
    parts = [Part(content, cells), Part(unlike, ~cells)]
    shared = critic(parts=parts, asked=(teacher, content))
    for step, own in ((0, cells), (1, ~cells), (2, cells)):
        field = solid_field(SHOWN, len(LIT))
        opacity = field.opacity.requires_grad_()
        shared.moved(field, step).opacity.sum().backward()
        assert opacity.grad is not None and torch.equal(opacity.grad != 0, own)
    happy, unhappy = (asked(shared, step=step)[0].residual.mean() for step in (0, 1))
    assert unhappy > 2 * happy


def test_pixels_are_clipped_before_the_encoder_s_gradient_goes_on():
    rules = replace(RULES, teacher=changed(RULES.teacher, pixel_clip=0.5))
    free, clipped = asked(critic())[1], asked(critic(rules=rules))[1]
    assert clipped.norm(dim=1).max() < free.norm(dim=1).max()


class OfWorlds(OracleTeacher):
    """An oracle that counts as taught worlds like these alone."""

    vocabulary = frozenset({"snow"})


@pytest.mark.parametrize("parts", [False, True])
def test_only_the_prompt_of_a_whole_world_describes_it(parts):
    teacher, question = oracle([SHOWN], [SHOWN, OTHER], kind=OfWorlds)
    told = [Part(question, torch.ones(SHOWN.shape, dtype=torch.bool))] if parts else []
    whom = critic(parts=told, asked=(teacher, question))
    found = whom.probe(latents_of(SHOWN, RAYS) / 2 + 0.5, RAYS)
    assert found.margin > 0 and whom.describes(found) == (not parts)


def test_a_prompt_describes_a_map_whatever_stands_against_it():
    """The probe compares it with nothing in particular, not with a negative prompt that is worse still."""
    worlds = {"": [SHOWN, OTHER], "right": [SHOWN], "wrong": [OTHER]}
    teacher = OfWorlds(worlds, LIT, 16)
    images = latents_of(SHOWN, RAYS) / 2 + 0.5
    margins = [
        critic(asked=(teacher, teacher.read("right", against))).probe(images, RAYS).margin
        for against in (None, "wrong")
    ]
    assert margins[0] == margins[1] > 0
