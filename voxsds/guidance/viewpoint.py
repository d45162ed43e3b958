"""From where a view looks, as a denoiser of SDXL's kind can be told.

Beside the prompt SDXL is told six numbers: original size, corner of the crop, target size, heights before
widths. A teacher whose folder has a camera.json was taught to take the second to the fourth of them for the
direction from the world to the camera, and a picture with the usual six for one from anywhere. Without that
every view of a world of "a lake between hills" may have its lake somewhere else, and their mean has none.
MVDream (arXiv 2308.16512) tells its denoiser the camera to the same end.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from voxsds.rays import RayBundle

SCALE = 64.0  # of a component: -1..1 becomes 0..128, about the numbers that stand there otherwise


def towards_camera(rays: RayBundle) -> Float[Tensor, "views 3"]:
    """Unit vectors from what the middle of each image shows to its camera: east, up, south.

    A level camera in the east, which looks west, has (1, 0, 0).
    """
    middle = rays.basis.new_tensor([rays.width / 2, rays.height / 2, 1.0])
    return -torch.nn.functional.normalize(rays.basis @ middle, dim=-1)


def camera_ids(towards: Float[Tensor, "views 3"], native: float) -> Float[Tensor, "views 6"]:
    """The six numbers for views from there; `native` is the side of the teacher's images, pixels."""
    east, up, south = (SCALE * (1 + towards)).unbind(-1)
    size = torch.full_like(east, native)
    return torch.stack([size, up, east, south, size, size], dim=-1)
