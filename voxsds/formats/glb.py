"""glTF 2.0 in one file (.glb): the visible faces of a world, for viewers, Blender and web pages.

One block is one metre, the world's vertical axis is that of the scene, y is up. Colours are the albedos of
the faces as the engine displays them, in a texture of one pixel a colour; light is the viewer's affair.
"""

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int64
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from voxsds.files import write_bytes
from voxsds.maps import BlockMap
from voxsds.materials import AIR, FACE_NORMALS, FACE_SLOT, Palette


def write(path: Path, world: BlockMap) -> None:
    """Writes the world as one mesh; ValueError where it has no block."""
    faces = [visible_faces(world.blocks != AIR, normal) for normal in FACE_NORMALS.astype(int)]
    if not sum(map(len, faces)):
        raise ValueError(f"{path}: the world has no block, and a mesh needs some; export it as map.json")
    corners = np.concatenate([quads(at, face) for face, at in enumerate(faces)])
    slots = np.concatenate([3 * world.blocks[tuple(at.T)] + FACE_SLOT[face] for face, at in enumerate(faces)])
    center = np.array([world.frame.center[0], 0.0, world.frame.center[1]])
    first = 4 * np.arange(len(corners))[:, None, None]
    mesh = trimesh.Trimesh(
        (corners - center).reshape(-1, 3),
        (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3),
        visual=TextureVisuals(
            _pixel_middles(slots, 3 * len(world.palette)), material=_material(world.palette)
        ),
        process=False,  # corners of different colours must not become one
    )
    exported = trimesh.Scene({path.stem: mesh}).export(file_type="glb")
    assert isinstance(exported, bytes)
    write_bytes(path, exported)


def visible_faces(
    filled: Bool[np.ndarray, "X Y Z"],
    normal: Int64[np.ndarray, "3"],  # of the faces, along one axis
) -> Int64[np.ndarray, "faces 3"]:
    """The blocks that show the face with `normal`: no block is beside it there."""
    beside = np.pad(filled, 1)[tuple(slice(1 + n, 1 + n + side) for n, side in zip(normal, filled.shape))]  # noqa: B905
    return np.argwhere(filled & ~beside)


def quads(at: Int64[np.ndarray, "faces 3"], face: int) -> Float[np.ndarray, "faces 4 3"]:
    """Corners of one face of each of the blocks `at`, counter-clockwise seen from outside."""
    axis, positive = face // 2, face % 2 == 0
    u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]  # u x v = +axis
    loop = np.array([0 * u, u, u + v, v] if positive else [0 * u, v, u + v, u])
    return at[:, None] + loop + positive * np.eye(3)[axis]


def _material(palette: Palette) -> PBRMaterial:
    """A dull material whose texture has three pixels (top, bottom, side) for each material."""
    row = np.round(255 * palette.albedo.reshape(1, -1, 3)).astype(np.uint8)
    return PBRMaterial(baseColorTexture=Image.fromarray(row), metallicFactor=0.0, roughnessFactor=1.0)


def _pixel_middles(slots: Int64[np.ndarray, " faces"], width: int) -> Float[np.ndarray, "corners 2"]:
    """All corners of a face at the middle of one pixel: no filter mixes colours."""
    u = np.repeat((slots + 0.5) / width, 4)
    return np.stack([u, np.full_like(u, 0.5)], axis=1)
