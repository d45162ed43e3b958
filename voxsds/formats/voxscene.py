"""The tree of a .vox file, which says where its models stand.

A transform (nTRN) moves and turns one child, a group (nGRP) holds several, a shape (nSHP) shows a model. A
file may make a circle of them, so nothing here recurses, and what is visited is counted.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from voxsds.formats.build import Shape

MAX_NODES = 20_000  # visited, a node counted each time that it is shown
MAX_DEPTH = 64
MAX_MODELS = 4096


class Model(NamedTuple):
    shape: Shape  # MagicaVoxel's axes
    voxels: UInt8[np.ndarray, "voxels 4"]  # x, y, z, colour index


@dataclass(frozen=True, eq=False)
class Pose:
    """Place of a model in the scene: a point p of its frame lies at turn @ p + shift."""

    turn: Int64[np.ndarray, "3 3"]
    shift: Int64[np.ndarray, "3"]

    def after(self, outer: "Pose") -> "Pose":
        """Pose within `outer`."""
        return Pose(outer.turn @ self.turn, outer.turn @ self.shift + outer.shift)


STILL = Pose(np.eye(3, dtype=np.int64), np.zeros(3, np.int64))


@dataclass(frozen=True, eq=False)
class Placed:
    """A model in the scene, which turns about the corner of voxels nearest its middle, floor(size / 2)."""

    model: Model
    pose: Pose

    @classmethod
    def at_corner(cls, model: Model, corner: Shape) -> "Placed":
        """An unturned model with its lowest voxel at `corner`."""
        return cls(model, Pose(STILL.turn, np.array(corner) + np.array(model.shape) // 2))

    def positions(self, part: slice) -> Int64[np.ndarray, "voxels 3"]:
        """Positions in the scene of a part of the model's voxels."""
        return self._moved(self.model.voxels[part, :3].astype(np.int64))

    def corners(self) -> tuple[Int64[np.ndarray, "3"], Int64[np.ndarray, "3"]]:
        """Lowest voxel of the model's box, and the one after the highest."""
        ends = self._moved(np.array([(0, 0, 0), np.array(self.model.shape) - 1], np.int64))
        return ends.min(axis=0), ends.max(axis=0) + 1

    def _moved(self, voxels: Int64[np.ndarray, "n 3"]) -> Int64[np.ndarray, "n 3"]:
        """In half voxels, because middles turn: a voxel's is 2 v + 1."""
        middles = 2 * (voxels - np.array(self.model.shape) // 2) + 1
        return (middles @ self.pose.turn.T + 2 * self.pose.shift - 1) // 2


@dataclass
class Scene:
    """Models, materials and their places, as the chunks of a file have them."""

    models: list[Model] = field(default_factory=list)
    palette: UInt8[np.ndarray, "256 4"] | None = None
    transforms: dict[int, tuple[int, Pose, bool]] = field(default_factory=dict)  # id: child, pose, hidden
    groups: dict[int, tuple[int, ...]] = field(default_factory=dict)
    shapes: dict[int, int] = field(default_factory=dict)  # id: model
    layers: dict[int, int] = field(default_factory=dict)  # of transforms
    hidden_layers: set[int] = field(default_factory=set)
    notes: tuple[str, ...] = ()


def placed_models(scene: Scene, where: str) -> list[Placed]:
    """Every model where the tree shows it; all of them at the origin where there is no tree.

    What is hidden is left out, and a note says so.
    """
    if not scene.transforms:
        return [Placed.at_corner(model, (0, 0, 0)) for model in scene.models]
    placed, hidden, visited, todo = [], 0, 0, [(min(scene.transforms), STILL, 0)]
    while todo:
        node, pose, depth = todo.pop()
        visited += 1
        if visited + len(todo) > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError(
                f"{where}: its tree of nodes is more than {MAX_DEPTH} deep or {MAX_NODES:,} large, or goes "
                "round in a circle; join models and save again"
            )
        if node in scene.transforms:
            child, own, is_hidden = scene.transforms[node]
            if is_hidden or scene.layers[node] in scene.hidden_layers:
                hidden += 1
            else:
                todo.append((child, own.after(pose), depth + 1))
        elif node in scene.groups:
            todo += [(child, pose, depth + 1) for child in reversed(scene.groups[node])]
        elif node in scene.shapes:
            placed.append(Placed(_shown(scene, node, where), pose))
        else:
            raise ValueError(f"{where}: the tree names node {node}, which is not there; save the build again")
    if hidden:
        scene.notes += (f"{hidden} hidden models or groups",)
    if len(placed) > MAX_MODELS:
        raise ValueError(f"{where}: {len(placed)} models; up to {MAX_MODELS} can be read. Join some")
    return placed


def _shown(scene: Scene, node: int, where: str) -> Model:
    index = scene.shapes[node]
    if not 0 <= index < len(scene.models):
        raise ValueError(
            f"{where}: node {node} shows model {index}, which is not there; save the build again"
        )
    return scene.models[index]
