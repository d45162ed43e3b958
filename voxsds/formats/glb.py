"""glTF 2.0 in one file (.glb): the visible faces of a world, for viewers, Blender and web pages.

One block is one metre, the world's vertical axis is that of the scene, y is up. Colours are the albedos of
the faces as the engine displays them, in a texture of one pixel a colour; light is the viewer's affair.
Faces of one colour that lie side by side become one rectangle ("greedy meshing"), so where rectangles of
different size meet, corners touch edges: the mesh encloses the blocks, but its edges are not paired, and a
viewer that rounds them apart shows the background there, on 0.03 % of the pixels (maps/2 in WebGL, 1024 x
1024, without antialiasing). The report's own viewer does not merge for that reason.
"""

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int64
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from voxsds.blocks.neighbours import free_faces
from voxsds.files.disk import write_bytes
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR, FACE_SLOT, Palette


def write(path: Path, world: BlockMap) -> None:
    """Writes the world as one mesh; ValueError where it has no block."""
    faces = free_faces(np.pad(world.blocks != AIR, 1))
    if not faces.any():
        raise ValueError(f"{path}: the world has no block, and a mesh needs some; export it as map.json")
    parts = [
        _meshed(np.where(free, 3 * world.blocks + FACE_SLOT[face], 0), face)
        for face, free in enumerate(faces)
    ]
    corners, slots = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
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


def _meshed(
    slots: Int64[np.ndarray, "X Y Z"],  # of one face of the blocks; 0: none, or covered
    face: int,
) -> tuple[Float[np.ndarray, "rectangles 4 3"], Int64[np.ndarray, " rectangles"]]:
    """Corners and slots of the rectangles that these faces become."""
    axes = [face // 2, (face // 2 + 1) % 3, (face // 2 + 2) % 3]
    found = rectangles(slots.transpose(axes))
    corner, extent = np.zeros((2, len(found), 3), dtype=np.int64)
    corner[:, axes] = found[:, :3]
    extent[:, axes[1:]] = found[:, 3:5]
    return quads(corner, extent, face), found[:, 5]


def rectangles(values: Int64[np.ndarray, "layers rows columns"]) -> Int64[np.ndarray, "rectangles 6"]:
    """Rectangles of one value that cover the voxels of each layer that are not 0, none of them twice.

    Each is layer, row, column, rows, columns, value. Runs along the rows are found first, and equal runs of
    rows that follow each other joined: a field of 3 x 5 is one, an L is two.
    """
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1)))
    edges = padded[..., 1:] != padded[..., :-1]
    layer, row, column = np.nonzero(edges[..., :-1] & (values != 0))
    columns = np.nonzero(edges[..., 1:] & (values != 0))[2] + 1 - column
    order = np.lexsort((row, values[layer, row, column], columns, column, layer))
    runs = np.stack([layer, column, columns, values[layer, row, column], row], axis=1)[order]
    follows = (np.diff(runs, axis=0, prepend=runs[:1]) == [0, 0, 0, 0, 1]).all(axis=1)
    first = np.flatnonzero(~follows)
    rows = np.diff(first, append=len(runs))
    layer, column, columns, value, row = runs[first].T
    return np.stack([layer, row, column, rows, columns, value], axis=1)


def quads(
    corner: Int64[np.ndarray, "rectangles 3"],  # the lowest of the blocks
    extent: Int64[np.ndarray, "rectangles 3"],  # in blocks; 0 along the normal
    face: int,
) -> Float[np.ndarray, "rectangles 4 3"]:
    """Corners of one face of each box of blocks, counter-clockwise seen from outside."""
    axis, positive = face // 2, face % 2 == 0
    u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]  # u x v = +axis
    loop = np.array([0 * u, u, u + v, v] if positive else [0 * u, v, u + v, u])
    return corner[:, None] + loop * extent[:, None] + positive * np.eye(3)[axis]


def _material(palette: Palette) -> PBRMaterial:
    """A dull material whose texture has three pixels (top, bottom, side) for each material."""
    row = np.round(255 * palette.albedo.reshape(1, -1, 3)).astype(np.uint8)
    return PBRMaterial(baseColorTexture=Image.fromarray(row), metallicFactor=0.0, roughnessFactor=1.0)


def _pixel_middles(slots: Int64[np.ndarray, " faces"], width: int) -> Float[np.ndarray, "corners 2"]:
    """Coordinates that lay all corners of a face at the middle of a pixel: no filter mixes colours."""
    u = np.repeat((slots + 0.5) / width, 4)
    return np.stack([u, np.full_like(u, 0.5)], axis=1)
