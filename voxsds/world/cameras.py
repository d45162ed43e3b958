"""Posed pinhole cameras, without torch: what brings maps in and out need not wait for it.

World: x east, y up, z south. A camera looks down its own -z. Projections are OpenGL-style
(z in [-1, 1]); image origin top left, pixel centres at +0.5.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Frame:
    """Place of a grid in the world: grid = (world_x / s + cx, world_y / s, world_z / s + cz)."""

    center: tuple[float, float]  # (cx, cz), grid coordinates of the world's vertical axis
    scale: float = 2.0  # s, world units per block

    def to_grid(self, points: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        return points / self.scale + np.array([self.center[0], 0.0, self.center[1]])

    def to_world(self, points: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        return (points - np.array([self.center[0], 0.0, self.center[1]])) * self.scale


@dataclass(frozen=True, eq=False)
class Camera:
    """One posed pinhole camera; matrices act on column vectors, in world units."""

    id: str
    view: Float[np.ndarray, "4 4"]  # world to camera
    projection: Float[np.ndarray, "4 4"]  # camera to clip space
    width: int  # pixels
    height: int  # pixels
    near: float = 0.1
    far: float = 1000.0

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """Eye point in the world."""
        return -self.view[:3, :3].T @ self.view[:3, 3]

    def resized(self, width: int, height: int) -> "Camera":
        """This pose and vertical field of view on another pixel grid (square pixels)."""
        projection = self.projection.copy()
        projection[0, 0] = projection[1, 1] * height / width
        return replace(self, projection=projection, width=width, height=height)


def look_at(
    eye: Float[np.ndarray, "3"],  # world units
    target: Float[np.ndarray, "3"],
    fov_y_degrees: float,
    width: int,
    height: int,
    id: str = "",
    near: float = 0.1,
    far: float = 1000.0,
) -> Camera:
    """A level camera at `eye` that has `target` in the middle of its image.

    Straight up or down, where every camera is level, the image's right is +x. ValueError where eye and
    target are one point.
    """
    distance = np.linalg.norm(target - eye)
    if distance == 0:
        raise ValueError(f"camera {id!r} at {eye.tolist()} looks at the point it stands on; move one of them")
    forward = (target - eye) / distance
    right = np.cross(forward, [0.0, 1.0, 0.0])
    level = np.linalg.norm(right)
    right = right / level if level > 1e-9 else np.array([1.0, 0.0, 0.0])
    rotation = np.stack([right, np.cross(right, forward), -forward])
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = rotation, -rotation @ eye
    f = 1.0 / np.tan(np.radians(fov_y_degrees) / 2)
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = f * height / width, f
    projection[2, 2], projection[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    projection[3, 2] = -1.0
    return Camera(id, view, projection, width, height, near, far)
