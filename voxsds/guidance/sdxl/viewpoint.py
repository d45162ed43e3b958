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

from voxsds.render.rays import RayBundle

SCALE = 64.0  # of a component: -1..1 becomes 0..128, about the numbers that stand there otherwise


def towards_camera(rays: RayBundle) -> Float[Tensor, "views 3"]:
    """Unit vectors from what the middle of each image shows to its camera: east, up, south.

    A level camera in the east, which looks west, has (1, 0, 0).
    """
    middle = rays.basis.new_tensor([rays.width / 2, rays.height / 2, 1.0])
    return -torch.nn.functional.normalize(rays.basis @ middle, dim=-1)


def size_ids(native: int) -> Float[Tensor, "6"]:
    """The usual six numbers, of a whole picture; `native` is the side of the teacher's images, pixels."""
    return torch.tensor([native, native, 0, 0, native, native], dtype=torch.float32)


def camera_ids(towards: Float[Tensor, "views 3"], usual: Float[Tensor, "6"]) -> Float[Tensor, "views 6"]:
    """The six numbers for views from there: the direction stands in the second to the fourth of the usual."""
    east, up, south = (SCALE * (1 + towards.to(usual))).unbind(-1)
    ids = usual.repeat(len(towards), 1)
    ids[:, 1:4] = torch.stack([up, east, south], dim=-1)
    return ids
