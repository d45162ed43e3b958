"""The rays that cameras send through a grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.world.cameras import Camera, Frame


@dataclass(frozen=True, eq=False)
class RayBundle:
    """The rays of a batch of views, in grid coordinates (one unit = one block).

    The ray through pixel column j and row i of view b starts at `eye[b]` and has the direction
    `basis[b] @ (j + 0.5, i + 0.5, 1)`, not normalised.
    """

    eye: Float[Tensor, "views 3"]
    basis: Float[Tensor, "views 3 3"]
    width: int
    height: int

    def directions(self) -> Float[Tensor, "views height width 3"]:
        """Direction of every ray."""
        like = {"dtype": self.basis.dtype, "device": self.basis.device}
        rows, columns = torch.meshgrid(
            torch.arange(self.height, **like) + 0.5, torch.arange(self.width, **like) + 0.5, indexing="ij"
        )
        pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
        return torch.einsum("bij,hwj->bhwi", self.basis, pixels)


def ray_bundle(
    cameras: Sequence[Camera],  # all of one image size
    frame: Frame,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> RayBundle:
    """The rays of `cameras` in the grid that `frame` places in the world.

    A pixel (u, v) sees the camera-space direction ((2u/W - 1 + P02) / P00, (1 - 2v/H + P12) / P11, -1),
    which is linear in (u, v, 1), so a view is a 3 x 3 matrix. ValueError where image sizes differ.
    """
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    if len(sizes) != 1:
        raise ValueError(f"cameras have image sizes {sizes}; give one or more cameras, all of one size")
    ((width, height),) = sizes
    bases = []
    for camera in cameras:
        p = camera.projection
        to_camera = np.array(
            [
                [2 / width / p[0, 0], 0.0, (p[0, 2] - 1) / p[0, 0]],
                [0.0, -2 / height / p[1, 1], (p[1, 2] + 1) / p[1, 1]],
                [0.0, 0.0, -1.0],
            ]
        )
        bases.append(camera.view[:3, :3].T @ to_camera)
    eye = np.stack([frame.to_grid(camera.position) for camera in cameras])
    return RayBundle(
        torch.as_tensor(eye, dtype=dtype, device=device),
        torch.as_tensor(np.stack(bases), dtype=dtype, device=device),
        width,
        height,
    )
