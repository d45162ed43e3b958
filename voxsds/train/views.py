"""Views that a training step looks from: the dataset's own, near them, and from all around."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from voxsds.world.cameras import Camera, Frame
from voxsds.world.poses import PoseLaw, sample_pose

ORBIT = -1  # in place of a dataset view's index


@dataclass(frozen=True)
class CameraSettings:
    """Shares of the kinds of views, and how far the random ones go."""

    dataset: float  # the dataset's views as they are
    jittered: float  # moved and turned a little
    orbit: float  # drawn from the law of poses
    jitter_blocks: float  # at most, along each axis
    jitter_degrees: float  # at most, left or right and up or down; the horizon stays level

    def __post_init__(self) -> None:
        """ValueError where there is nothing to draw from."""
        shares = (self.dataset, self.jittered, self.orbit)
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(
                f"cameras: dataset, jittered and orbit are {shares}; give shares of 0 or more, "
                "at least one of them positive"
            )


def _turn(axis: int, radians: float) -> Float[np.ndarray, "3 3"]:
    """Right-handed rotation about one axis."""
    c, s = np.cos(radians), np.sin(radians)
    rotation = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = c, -s, s, c
    return rotation


def jittered(
    camera: Camera,
    distance: float,  # world units, at most along each axis
    degrees: float,
    rng: np.random.Generator,
) -> Camera:
    """`camera` moved by up to `distance` and turned by up to `degrees`; distance and degrees 0: the same.

    Turned about the world's up and the camera's right, so that it rolls no more than before.
    """
    yaw, pitch = np.radians(rng.uniform(-degrees, degrees, 2))
    position = camera.position + rng.uniform(-distance, distance, 3)
    view = camera.view.copy()
    view[:3, :3] = _turn(0, pitch) @ camera.view[:3, :3] @ _turn(1, yaw)
    view[:3, 3] = -view[:3, :3] @ position
    return replace(camera, view=view)


@dataclass(frozen=True, eq=False)
class ViewSource:
    """Draws the views of training steps, square, at the teacher's resolution."""

    settings: CameraSettings
    law: PoseLaw  # the one that the teacher's images were taken by
    cameras: Sequence[Camera]  # of the dataset
    shape: tuple[int, int, int]
    frame: Frame
    size: int  # pixels

    def draw(self, rng: np.random.Generator) -> tuple[Camera, int]:
        """A camera, and the index of the dataset view that it comes from or ORBIT."""
        s = self.settings
        shares = np.array([s.dataset, s.jittered, s.orbit])
        kind = rng.choice(3, p=shares / shares.sum())
        if kind == 2:
            return sample_pose(self.law, self.shape, self.frame, self.size, rng), ORBIT
        index = int(rng.integers(len(self.cameras)))
        camera = self.cameras[index].resized(self.size, self.size)
        if kind == 1:
            camera = jittered(camera, s.jitter_blocks * self.frame.scale, s.jitter_degrees, rng)
        return camera, index

    def spread(self, count: int) -> list[Camera]:
        """`count` dataset views, evenly over their order."""
        chosen = np.linspace(0, len(self.cameras), count, endpoint=False).astype(int)
        return [self.cameras[index].resized(self.size, self.size) for index in chosen]
