"""Do the renderer's backends agree? The voxels that rays enter apart from colours and gradients.

Which voxels a pixel's ray enters, and through which faces, is what a *probe* tells: an image of a thin
fog in which every voxel has another random opacity and colour. Two walks that differ anywhere give other
colours. Errors of colours and gradients are those of the pixels whose walks are the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from voxsds.render.rays import RayBundle
from voxsds.render.renderer import first_hit, render
from voxsds.world.field import Field, solid_field

PROBE_ERROR = 1e-9  # probes of one walk differ by some 1e-15, of walks that differ in a voxel by some 1e-4


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene to be drawn, on the CPU."""

    name: str
    field: Field
    lit: Float[Tensor, "S 6 3"]
    rays: RayBundle
    threshold: float = 0.0  # opacities up to this are drawn as nothing
    stop: float = 0.0  # rays end at this transmittance


@dataclass(frozen=True)
class Agreement:
    """Distance of a backend from another; images are 0..1, products relative to their largest entry."""

    against: str  # the backend that it is compared with
    pixels: int
    same_walk: float  # share of the pixels whose rays enter the same voxels through the same faces
    wrong_hits: int  # of these pixels, those that see another voxel or face first
    color: float  # largest error of RGB
    alpha: float
    reach: float | None  # of the light that reaches a voxel; None unless all walks are the same
    by_opacity: float  # largest error of random cotangents' products with the Jacobian of the image
    by_material: float

    def worst(self) -> float:
        """The largest of the continuous errors."""
        return max(self.color, self.alpha, self.reach or 0.0, self.by_opacity, self.by_material)


class Drawn:
    """A scene as one backend draws it; everything it returns is on the CPU."""

    def __init__(self, scene: Scene, backend: str, device: torch.device | str = "cpu"):
        self.scene, self.backend, self.device = scene, backend, torch.device(device)
        eye, basis = scene.rays.eye.to(self.device), scene.rays.basis.to(self.device)
        self.rays = replace(scene.rays, eye=eye, basis=basis)
        self.field = Field(*(t.detach().to(self.device).requires_grad_() for t in scene.field))
        drawn = render(
            *self.field, scene.lit, self.rays,
            threshold=scene.threshold, min_transmittance=scene.stop, backend=backend,
        )  # fmt: skip
        self._rgba = drawn.rgba
        self.rgba, self.reach = drawn.rgba.detach().cpu(), drawn.reach.cpu()

    def products(self, cotangent: Float[Tensor, "B 4 H W"]) -> tuple[Tensor, Tensor]:
        """Products of the cotangent with the Jacobians of opacity and material."""
        products = torch.autograd.grad(self._rgba, self.field, cotangent.to(self._rgba), retain_graph=True)
        return products[0].cpu(), products[1].cpu()

    def hits(self) -> Tensor:
        """(voxel, face) seen first, (2, B, H, W)."""
        hits = first_hit(self.field.opacity.detach(), self.rays, backend=self.backend)
        return torch.stack([hits.voxel.cpu(), hits.face.cpu()])

    def probe(self, seed: int) -> Float[Tensor, "B 4 H W"]:
        """The image of a fog that no two walks show alike, float64."""
        generator = torch.Generator().manual_seed(seed)
        shape, solids = self.scene.field.opacity.shape, self.scene.field.material.shape[-1]
        opacity = torch.rand(shape, generator=generator, dtype=torch.float64) / sum(shape)
        material = torch.rand((*shape, solids), generator=generator, dtype=torch.float64)
        lit = torch.rand((solids, 6, 3), generator=generator, dtype=torch.float64)
        fog = (opacity.to(self.device), material.to(self.device), lit, self.rays)
        return render(*fog, min_transmittance=0.0, backend=self.backend).rgba.cpu()


def agreement(actual: Drawn, expected: Drawn, seed: int = 0) -> Agreement:
    """Distance of `actual` from `expected`, two drawings of one scene."""
    same = _same_walk(actual, expected, seed)
    generator = torch.Generator().manual_seed(seed)
    cotangent = torch.randn(expected.rgba.shape, generator=generator, dtype=torch.float64) * same[:, None]
    differences = (actual.rgba.double() - expected.rgba.double()).abs() * same[:, None]
    products = zip(actual.products(cotangent), expected.products(cotangent), strict=True)
    by_opacity, by_material = (_relative(got, want) for got, want in products)
    all_same = bool(same.all())
    return Agreement(
        against=expected.backend,
        pixels=same.numel(),
        same_walk=same.double().mean().item(),
        wrong_hits=int(((actual.hits() != expected.hits()).any(dim=0) & same).sum()),
        color=differences[:, :3].max().item(),
        alpha=differences[:, 3].max().item(),
        reach=(actual.reach.double() - expected.reach.double()).abs().max().item() if all_same else None,
        by_opacity=by_opacity,
        by_material=by_material,
    )


def _same_walk(actual: Drawn, expected: Drawn, seed: int) -> Bool[Tensor, "B H W"]:
    """Pixels whose rays enter the same voxels through the same faces."""
    return (actual.probe(seed) - expected.probe(seed)).abs().amax(dim=1) <= PROBE_ERROR


def _relative(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest entry expected (over 1 where that is zero)."""
    largest = expected.abs().max().item() or 1.0
    return (actual.double() - expected.double()).abs().max().item() / largest


def agreements(
    scenes: Iterable[Scene], backends: Mapping[str, torch.device], against: str = "reference"
) -> dict[str, dict[str, Agreement]]:
    """For each backend but the reference and `against` (on the CPU), its agreement by name of the scene."""
    others = [name for name in backends if name not in ("reference", against)]
    found: dict[str, dict[str, Agreement]] = {name: {} for name in others}
    for scene in scenes:
        expected = Drawn(scene, against)
        for name, by_scene in found.items():
            by_scene[scene.name] = agreement(Drawn(scene, name, backends[name]), expected)
    return found


def dissolved(
    blocks: Integer[np.ndarray, "X Y Z"],  # material index, 0 = air
    solids: int,  # number of solid materials
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Field:
    """A world half decided: opacities between, some exactly 0 or 1, and mixed materials."""
    solid, generator = solid_field(blocks, solids, torch.float64), torch.Generator().manual_seed(seed)
    noise = torch.randn(solid.opacity.shape, generator=generator, dtype=torch.float64)
    opacity = (0.1 + 0.5 * solid.opacity + 0.4 * noise).clamp(0, 1)
    logits = torch.randn(solid.material.shape, generator=generator, dtype=torch.float64)
    material = torch.softmax(logits + 2 * solid.material, dim=-1)
    return Field(opacity.to(dtype), material.to(dtype))
