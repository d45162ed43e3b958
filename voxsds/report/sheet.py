"""The contact sheet: what the world looked like, and what it looks like now, from every side."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

INK, PAPER = (32, 36, 42), (255, 255, 255)
COLUMNS, GAP, LABEL = 4, 6, 26  # views in a row; pixels between images and for a line of text


def contact_sheet(
    before: Float[Tensor, "views 3 height width"],  # 0..1
    after: Float[Tensor, "views 3 height width"],
    labels: Sequence[str],  # one a view, written under it
    title: str,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Rows of `before`, and under each row the same views `after`; the title on top."""
    count, _, height, width = before.shape
    columns = min(COLUMNS, count)
    bands = -(-count // columns)
    gutter = 70  # for the words before and after
    size = (
        gutter + columns * (width + GAP) + GAP,
        LABEL + 14 + bands * (2 * (height + GAP) + LABEL) + GAP,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    fit_text(draw, (GAP + 4, 9), title, 18, size[0] - 2 * GAP)
    for view in range(count):
        band, column = divmod(view, columns)
        left = gutter + column * (width + GAP)
        top = LABEL + 14 + band * (2 * (height + GAP) + LABEL)
        sheet.paste(_picture(before[view]), (left, top))
        sheet.paste(_picture(after[view]), (left, top + height + GAP))
        fit_text(draw, (left, top + 2 * (height + GAP)), labels[view], 13, width)
        if column == 0:
            fit_text(draw, (GAP + 4, top + height // 2 - 8), "before", 15, gutter)
            fit_text(draw, (GAP + 4, top + height + GAP + height // 2 - 8), "after", 15, gutter)
    return np.asarray(sheet)


def _picture(image: Float[Tensor, "3 height width"]) -> Image.Image:
    return Image.fromarray(to_bytes(image))


def to_bytes(image: Float[Tensor, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """round(255 c), the one way in which this project writes colours."""
    return (image.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()


def fit_text(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, room: int) -> None:
    """`text` in one line, cut off with an ellipsis where it is wider than `room` pixels."""
    font = ImageFont.load_default(size)
    if draw.textlength(text, font) > room:
        while text and draw.textlength(text + "…", font) > room:
            text = text[:-1]
        text += "…"
    draw.text(at, text, INK, font)
