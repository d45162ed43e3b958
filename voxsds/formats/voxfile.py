"""The chunks of a .vox file, read within bounds and written.

Ids, sizes and counts are whatever a file says, so each is held against a limit before it is believed.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt8

from voxsds.formats.build import Shape
from voxsds.formats.voxscene import MAX_NODES, Model, Placed, Pose, Scene

VERSION = 150  # of the format
MAX_CHUNKS = 100_000
MAX_TEXTS = 256  # of one node


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
