"""The chunks of a .vox file, and the tree that says where its models stand.

nTRN moves and turns one child, nGRP holds several, nSHP shows a model. Ids, sizes and counts are whatever
the file says, so nothing here recurses, and what is visited is counted.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from voxsds.formats.build import Shape

MAX_CHUNKS = 100_000
MAX_NODES = 20_000  # visited, a node counted each time that it is shown
MAX_DEPTH = 64
MAX_TEXTS = 256  # of one node
MAX_MODELS = 4096
VERSION = 150  # of the format


class Model(NamedTuple):
    shape: Shape  # MagicaVoxel's axes
    voxels: UInt8[np.ndarray, "voxels 4"]  # x, y, z, colour index


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a point p of a model's frame is in the scene: turn @ p + shift."""

    turn: Int64[np.ndarray, "3 3"]
    shift: Int64[np.ndarray, "3"]

    def after(self, outer: "Pose") -> "Pose":
        """This pose within `outer`."""
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
        """Where a part of the model's voxels are in the scene."""
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
    """What the chunks of a file say."""

    models: list[Model] = field(default_factory=list)
    palette: UInt8[np.ndarray, "256 4"] | None = None
    transforms: dict[int, tuple[int, Pose, bool]] = field(default_factory=dict)  # id: child, pose, hidden
    groups: dict[int, tuple[int, ...]] = field(default_factory=dict)
    shapes: dict[int, int] = field(default_factory=dict)  # id: model
    layers: dict[int, int] = field(default_factory=dict)  # of transforms
    hidden_layers: set[int] = field(default_factory=set)
    notes: tuple[str, ...] = ()


class _Cursor:
    """A place in the bytes of one chunk."""

    def __init__(self, data: bytes, where: str):
        self.data, self.where, self.at = data, where, 0

    def integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", self.take(4 * count))

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"{self.where} ends early; get the file again")
        self.at += size
        return self.data[self.at - size : self.at]

    def texts(self) -> dict[str, str]:
        """A DICT: pairs of texts."""
        pairs = {}
        for _ in range(self.count(MAX_TEXTS)):
            key, value = (self.take(self.integers(1)[0]).decode("latin-1") for _ in range(2))
            pairs[key] = value
        return pairs

    def count(self, most: int) -> int:
        (count,) = self.integers(1)
        if not 0 <= count <= most:
            raise ValueError(f"{self.where} has {count} entries, 0 to {most} can be read; save it again")
        return count


def chunks(data: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Name and contents of every chunk of a .vox file but MAIN, which holds them."""
    if data[:4] != b"VOX " or data[8:12] != b"MAIN" or len(data) < 20:
        raise ValueError(f"{where}: not a MagicaVoxel file; is it what its name says? Save it again")
    at, number = 20, 0
    while at < len(data):
        number += 1
        if at + 12 > len(data) or number > MAX_CHUNKS:
            raise ValueError(f"{where}: cut off at byte {at}, or over {MAX_CHUNKS:,} chunks; get it again")
        name, size, inner = struct.unpack_from("<4sii", data, at)
        label = name.decode("latin-1")
        if size < 0 or inner < 0 or at + 12 + size + inner > len(data):
            raise ValueError(f"{where}: the chunk {label!r} at byte {at} ends past the file; get it again")
        yield label, data[at + 12 : at + 12 + size]
        at += 12 + size + inner


def read_scene(found: Iterator[tuple[str, bytes]], where: str) -> Scene:
    """The scene in the chunks; those that say how it looks and not where voxels are do not matter."""
    scene, size, frames = Scene(), None, 0
    for name, data in found:
        chunk = _Cursor(data, f"{where}: chunk {name}")
        match name:
            case "SIZE":
                x, y, z = chunk.integers(3)
                size = x, y, z
            case "XYZI":
                scene.models.append(_model(chunk, size))
            case "RGBA":
                scene.palette = np.frombuffer(chunk.take(1024), np.uint8).reshape(256, 4)
            case "nTRN":
                frames += _transform(chunk, scene) - 1
            case "nGRP":
                id, _ = chunk.integers(1)[0], chunk.texts()
                scene.groups[id] = chunk.integers(chunk.count(MAX_NODES))
            case "nSHP":
                id, _, count = chunk.integers(1)[0], chunk.texts(), chunk.count(MAX_NODES)
                frames += max(0, count - 1)
                scene.shapes[id] = chunk.integers(1)[0] if count else -1
            case "LAYR":
                id, look = chunk.integers(1)[0], chunk.texts()
                if look.get("_hidden") == "1":
                    scene.hidden_layers.add(id)
    if frames:
        scene.notes += (f"{frames} frames of animation after the first",)
    return scene


def _model(chunk: _Cursor, size: Shape | None) -> Model:
    if size is None or min(size) < 1 or max(size) > 256:
        raise ValueError(f"{chunk.where} follows a SIZE of {size}; 1 to 256 a side are needed. Save it again")
    (count,) = chunk.integers(1)
    voxels = np.frombuffer(chunk.take(4 * count), np.uint8).reshape(-1, 4)
    if (voxels[:, :3] >= np.array(size)).any():
        raise ValueError(f"{chunk.where} has voxels outside its size {size}; save the build again")
    return Model(size, voxels[voxels[:, 3] > 0])


def _transform(chunk: _Cursor, scene: Scene) -> int:
    """Reads one nTRN; returns its number of frames, of which the first is used."""
    (id,) = chunk.integers(1)
    look = chunk.texts()
    child, _, layer = chunk.integers(3)
    frames = chunk.count(MAX_NODES)
    first = chunk.texts() if frames else {}
    pose = Pose(_turn(first.get("_r", "4"), chunk.where), _shift(first.get("_t", "0 0 0"), chunk.where))
    scene.transforms[id] = child, pose, look.get("_hidden") == "1"
    scene.layers[id] = layer
    return max(1, frames)


def _turn(text: str, where: str) -> Int64[np.ndarray, "3 3"]:
    """A rotation in one byte: where the rows' ones stand (2 bits, 2 bits, the rest), then their signs.

    4, which is (0, 1, 2) without signs, turns nothing.
    """
    bits = int(text) if re.fullmatch(r"\d{1,3}", text) else -1
    first, second = bits & 3, bits >> 2 & 3
    if bits < 0 or first == second or 3 in (first, second):
        raise ValueError(f"{where}: {text!r} is no rotation; save the build again")
    turn = np.zeros((3, 3), np.int64)
    for row, column in enumerate((first, second, 3 - first - second)):
        turn[row, column] = -1 if bits >> 4 + row & 1 else 1
    return turn


def _shift(text: str, where: str) -> Int64[np.ndarray, "3"]:
    numbers = text.split()
    if len(numbers) != 3 or not all(re.fullmatch(r"-?\d{1,9}", number) for number in numbers):
        raise ValueError(f"{where}: {text!r} is no translation; save the build again")
    return np.array(numbers).astype(np.int64)


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


# Writing.


def write_scene(placed: list[Placed], palette: UInt8[np.ndarray, "256 4"]) -> bytes:
    """A .vox file; of one model without a tree, which even the simplest readers take."""
    body = b"".join(_chunk("SIZE", _integers(*one.model.shape)) + _voxels(one.model) for one in placed)
    body += _tree(placed) if len(placed) > 1 else b""
    body += _chunk("RGBA", palette.tobytes())
    return b"VOX " + _integers(VERSION) + b"MAIN" + _integers(0, len(body)) + body


def _tree(placed: list[Placed]) -> bytes:
    """Root transform 0, group 1, then a transform and a shape for each model."""
    ids = range(2, 2 + 2 * len(placed), 2)
    tree = _transform_chunk(0, 1, -1, {})
    tree += _chunk("nGRP", _integers(1) + _texts({}) + _integers(len(ids), *ids))
    for index, (id, one) in enumerate(zip(ids, placed, strict=True)):
        tree += _transform_chunk(id, id + 1, 0, {"_t": " ".join(map(str, one.pose.shift.tolist()))})
        tree += _chunk("nSHP", _integers(id + 1) + _texts({}) + _integers(1, index) + _texts({}))
    return tree


def _transform_chunk(id: int, child: int, layer: int, frame: dict[str, str]) -> bytes:
    return _chunk("nTRN", _integers(id) + _texts({}) + _integers(child, -1, layer, 1) + _texts(frame))


def _voxels(model: Model) -> bytes:
    return _chunk("XYZI", _integers(len(model.voxels)) + model.voxels.tobytes())


def _chunk(name: str, data: bytes) -> bytes:
    return name.encode() + _integers(len(data), 0) + data


def _integers(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def _texts(pairs: dict[str, str]) -> bytes:
    texts = (text.encode() for pair in pairs.items() for text in pair)
    return _integers(len(pairs)) + b"".join(_integers(len(text)) + text for text in texts)
