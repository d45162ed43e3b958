"""Do we draw a map as others do? Our render of it against the images of its dataset.

Two renderers may disagree about single pixels where faces meet, since a pixel's centre falls on this side
of an edge or on that by a rounding; over the faces themselves they must not. So both are told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from voxsds.render.draw import Images, draw, psnr
from voxsds.world.cameras import Camera
from voxsds.world.maps import BlockMap

MOST_VIEWS = 24  # compared, evenly over the dataset
VISIBLE = 2 / 255  # difference of a channel over which a pixel counts as another


@dataclass(frozen=True, eq=False)
class Photograph:
    """An image that someone else made of the map."""

    camera: Camera
    image: Float[Tensor, "3 height width"]  # 0..1, of any size


@dataclass(frozen=True)
class Agreement:
    """Distance of our renders from the photographs."""

    views: int
    psnr_db: float  # over all pixels
    flat_psnr_db: float  # over the pixels away from edges
    flat_share: float  # of the pixels
    differing: float  # share of all pixels that differ visibly in any channel


def chosen_views(count: int) -> list[int]:
    """At most `MOST_VIEWS` indices, evenly over 0..count - 1."""
    if count <= MOST_VIEWS:
        return list(range(count))
    return np.linspace(0, count, MOST_VIEWS, endpoint=False).astype(int).tolist()


def compare(world: BlockMap, photographs: Sequence[Photograph]) -> Agreement:
    """Draws `world` as each photograph was taken; ValueError where there is none."""
    if not photographs:
        raise ValueError("no photograph to compare with; give at least one")
    ours, theirs, flats = [], [], []
    for photograph in photographs:
        height, width = photograph.image.shape[1:]
        camera = photograph.camera.resized(width, height)
        drawn = draw(world, [camera])
        flats.append(away_from_edges(drawn)[0].flatten())
        ours.append(drawn[0].flatten(1))
        theirs.append(photograph.image.to(drawn).flatten(1))
    image, target, flat = torch.cat(ours, dim=1), torch.cat(theirs, dim=1), torch.cat(flats)
    differing = ((image - target).abs() > VISIBLE).any(dim=0)
    return Agreement(
        views=len(photographs),
        psnr_db=psnr(image, target),
        flat_psnr_db=psnr(image[:, flat], target[:, flat]) if flat.any() else 0.0,
        flat_share=flat.double().mean().item(),
        differing=differing.double().mean().item(),
    )


def away_from_edges(images: Images) -> Bool[Tensor, "views height width"]:
    """The pixels whose eight neighbours all have their colour; outside the image no neighbour counts."""
    highest = max_pool2d(images, 3, stride=1, padding=1)
    lowest = -max_pool2d(-images, 3, stride=1, padding=1)
    return (highest - lowest).amax(dim=1) < 1e-3
