"""Do gradients flow from the pixels to the logits, and are they the right ones?

The loss is a sum of squares, not a mean, so that magnitudes do not fall with the number of pixels:

    L = sum over pixels and RGB of (C - target)^2

measured on one view, in float64. docs/gradients.md says what to expect.
"""

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxsds.gradcheck.backends import Agreement, Scene, agreements, dissolved
from voxsds.gradcheck.errors import View, block_errors, difference_errors, logit_gradients
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import present_backends
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.palette import Palette

COMPARED_SIZE = 48  # pixels of the height of the images by which backends are compared
REFERENCE_VOXELS = 2**19  # of worlds that the reference draws in seconds; larger ones are held against numba
NORMAL_RANGE = 1e3  # a block's gradient is healthy up to this factor above or below the median block's


@dataclass(frozen=True)
class Gate:
    """Conditions under which the pipeline goes on."""

    norm: float  # least L2 norm of the gradient
    health: float  # least gradient_health_score
    blocks: float  # least share of the visible blocks that have a gradient
    difference_error: float  # largest error against central differences, relative to the gradient
    block_error: float  # largest error against a block really added or removed, relative likewise


@dataclass(frozen=True)
class GradcheckSettings:
    """The point at which gradients are looked at, and how closely."""

    view: int  # of the dataset
    image_size: int  # pixels of the image's height
    initial_logit: float  # of the occupancy
    initial_material_logit: float
    occupancy_temperature: float
    material_temperature: float
    threshold: float  # opacities up to this are drawn as nothing
    target: tuple[float, float, float]  # RGB that the loss pulls every pixel to
    directions: int  # random ones, for central differences
    step: float  # of the differences, in logits
    single_blocks: int  # added, and as many removed
    backend: str  # of the renderer
    gate: Gate

    def __post_init__(self) -> None:
        """ValueError naming what is not positive."""
        names = ("image_size", "initial_logit", "initial_material_logit", "occupancy_temperature")
        names += ("material_temperature", "directions", "step", "single_blocks")
        if wrong := [f"{name} is {getattr(self, name)}" for name in names if getattr(self, name) <= 0]:
            raise ValueError(f"gradcheck: {', '.join(wrong)}; must be positive")


def view_of(palette: Palette, frame: Frame, camera: Camera, settings: GradcheckSettings) -> View:
    """View of `camera`, `image_size` pixels high."""
    width = max(1, round(settings.image_size * camera.width / camera.height))
    rays = ray_bundle([camera.resized(width, settings.image_size)], frame, torch.float64)
    target = torch.tensor(settings.target, dtype=torch.float64)
    return View(rays, lit_faces(palette), target, settings.threshold, settings.backend)


def gradient_test(
    grid: DifferentiableVoxelGrid,
    palette: Palette,
    frame: Frame,
    camera: Camera,
    settings: GradcheckSettings,
) -> dict[str, Any]:
    """The gradient of the loss with the grid's logits, in figures.

    The keys of the plan are about the material logits; the same keys about the occupancy logits are
    under `occupancy`. `ok` is the plan's success criteria for both. The grid is not changed.
    """
    grid, view = copy.deepcopy(grid).double(), view_of(palette, frame, camera, settings)
    field = grid.field(settings.occupancy_temperature, settings.material_temperature)
    visible = view.visible(field.opacity)
    occupancy, material = logit_gradients(grid, view.loss(view.image(field, settings.threshold)))
    names = {f"material_{i}": name for i, name in enumerate(palette.names)}
    figures = _figures(material, material.norm(dim=0), visible, settings.gate)
    figures["per_material_gradients"] = {
        key: {"name": name, **_magnitudes(channel)}
        for (key, name), channel in zip(names.items(), material, strict=True)
        if channel.any()
    }
    figures["occupancy"] = _figures(occupancy, occupancy.abs(), visible, settings.gate)
    figures["ok"] = figures["ok"] and figures["occupancy"]["ok"]
    return figures


def _magnitudes(gradient: Tensor) -> dict[str, float]:
    """Norm, mean and maximum of what is finite of a gradient."""
    finite = gradient[torch.isfinite(gradient)]
    if finite.numel() == 0:
        return {"norm_l2": 0.0, "mean_abs": 0.0, "max_abs": 0.0}
    return {
        "norm_l2": finite.norm().item(),
        "mean_abs": finite.abs().mean().item(),
        "max_abs": finite.abs().max().item(),
    }


def _figures(
    gradient: Tensor, by_voxel: Float[Tensor, "X Y Z"], visible: Bool[Tensor, "X Y Z"], gate: Gate
) -> dict[str, Any]:
    """The plan's keys for one kind of logits, of which `by_voxel` is the gradient's norm a voxel.

    blocks_with_gradients = share of the visible blocks whose gradient is finite and not zero;
    gradient_health_score = share of them whose gradient also lies within a factor `NORMAL_RANGE` of
    the median one (neither vanishing nor exploding), times the share of finite numbers in all.
    """
    of_blocks = by_voxel[visible]
    alive = torch.isfinite(of_blocks) & (of_blocks > 0)
    median = of_blocks[alive].median() if alive.any() else of_blocks.new_ones(())
    normal = alive & (of_blocks < NORMAL_RANGE * median) & (of_blocks * NORMAL_RANGE > median)
    count = max(1, of_blocks.numel())
    finite = torch.isfinite(gradient)
    magnitudes = _magnitudes(gradient)
    flows = bool(magnitudes["norm_l2"] > 0)
    figures = {
        "has_gradient": flows,
        "differentiable": flows and bool(finite.all()),
        "gradient_norm_l2": magnitudes["norm_l2"],
        "gradient_mean_abs": magnitudes["mean_abs"],
        "gradient_max_abs": magnitudes["max_abs"],
        "gradient_health_score": (normal.sum() / count * finite.double().mean()).item(),
        "visible_blocks": of_blocks.numel(),
        "blocks_with_gradients": (alive.sum() / count).item(),
        "has_nan_gradients": bool(torch.isnan(gradient).any()),
        "has_inf_gradients": bool(torch.isinf(gradient).any()),
    }
    return {**figures, "ok": not _unmet(figures, gate)}


def _unmet(figures: dict[str, Any], gate: Gate) -> list[str]:
    """The success criteria that do not hold, each with its figure."""
    norm, health = figures["gradient_norm_l2"], figures["gradient_health_score"]
    share = figures["blocks_with_gradients"]
    wrong = {
        "no gradient arrives": not figures["has_gradient"],
        "some of it is NaN": figures["has_nan_gradients"],
        "some of it is infinite": figures["has_inf_gradients"],
        f"its norm is {norm:.3g}, needed is over {gate.norm:g}": not norm > gate.norm,
        f"its health score is {health:.2f}, needed is over {gate.health:g}": not health > gate.health,
        f"{share:.0%} of the visible blocks have one, needed are {gate.blocks:.0%}": share < gate.blocks,
    }
    return [reason for reason, applies in wrong.items() if applies]


@dataclass(frozen=True, eq=False)
class Report:
    """Findings of a gradcheck; `failures` is empty if the gate is open."""

    gradient_test: dict[str, Any]
    errors: dict[str, dict[str, float]]
    backends: dict[str, dict[str, Agreement]]  # of each one present, by scene
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures


def gradcheck(world: BlockMap, camera: Camera, settings: GradcheckSettings, seed: int) -> Report:
    """Checks a map: its gradient in figures, and the errors against what really happens."""
    made = GridSettings((1,), settings.initial_logit, settings.initial_material_logit)
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), made, torch.float64)
    test = gradient_test(grid, world.palette, world.frame, camera, settings)
    view, rng = view_of(world.palette, world.frame, camera, settings), np.random.default_rng(seed)
    temperatures = (settings.occupancy_temperature, settings.material_temperature)
    errors = {
        "central_differences": difference_errors(
            grid, view, temperatures, settings.directions, settings.step, rng
        ),
        "single_blocks": block_errors(
            world.blocks, len(world.palette) - 1, view, settings.single_blocks, rng
        ),
    }
    failures = [f"material logits: {reason}" for reason in _unmet(test, settings.gate)]
    failures += [f"occupancy logits: {reason}" for reason in _unmet(test["occupancy"], settings.gate)]
    limits = {
        "central_differences": settings.gate.difference_error,
        "single_blocks": settings.gate.block_error,
    }
    failures += [
        f"{kind}, {name}: the relative error is {error:.2g}, allowed is {limits[kind]:g}"
        for kind, found in errors.items()
        for name, error in found.items()
        if not error <= limits[kind]
    ]
    against = "reference" if world.blocks.size <= REFERENCE_VOXELS else "numba"
    backends = agreements(_scenes(world, camera, settings), present_backends(), against)
    return Report(test, errors, backends, tuple(failures))


def _scenes(world: BlockMap, camera: Camera, settings: GradcheckSettings) -> list[Scene]:
    """The map as it is, and half dissolved, as backends are compared by."""
    small = replace(settings, image_size=min(COMPARED_SIZE, settings.image_size))
    view, solids = view_of(world.palette, world.frame, camera, small), len(world.palette) - 1
    fields = {
        "hard": solid_field(world.blocks, solids, torch.float64),
        "soft": dissolved(world.blocks, solids),
    }
    return [Scene(name, field, view.lit, view.rays, view.threshold) for name, field in fields.items()]


def gate_verdict(report: Report, settings: GradcheckSettings) -> dict[str, Any]:
    """The verdict alone: the same bytes as long as nothing changes for what comes after."""
    return {"ok": report.ok, "criteria": asdict(settings.gate)}
