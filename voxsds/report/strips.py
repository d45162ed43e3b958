"""One picture for each test view: how it looked over the training, from left to right."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from voxsds.render.draw import Images
from voxsds.report.sheet import GAP, LABEL, PAPER, fit_text, to_bytes

MOST = 8  # moments in a strip; the first and the last always
SIDE = 192  # most pixels of a picture's longer side


def strips(test_images: Mapping[int, Images]) -> list[UInt8[np.ndarray, "rows columns 3"]]:
    """A strip for each view: at most MOST of the steps in `test_images`, evenly over them, in their order."""
    chosen = moments(test_images, MOST)
    labels = [f"after {step} steps" if step else "at the start" for step in chosen]
    views = zip(*(test_images[step] for step in chosen), strict=True)
    return [strip(images, labels) for images in views]


def moments(test_images: Mapping[int, Images], most: int) -> list[int]:
    """At most `most` of the steps, evenly over them, in their order; the first and the last always."""
    steps = sorted(test_images)
    return sorted({steps[i] for i in np.linspace(0, len(steps) - 1, most).round().astype(int)})


def strip(
    images: Sequence[Float[Tensor, "3 height width"]],  # 0..1
    labels: Sequence[str],  # one an image, written under it
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The images in a row, none larger than SIDE pixels, with their labels below."""
    pictures = [_fitted(Image.fromarray(to_bytes(image))) for image in images]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) + GAP, height + LABEL + 2 * GAP), PAPER)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left = GAP + i * (width + GAP)
        sheet.paste(picture, (left, GAP))
        fit_text(ImageDraw.Draw(sheet), (left, height + 2 * GAP), label, 15, width)
    return np.asarray(sheet)


def _fitted(picture: Image.Image) -> Image.Image:
    """The picture, made smaller where it is larger than SIDE pixels."""
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture
