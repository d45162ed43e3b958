"""Structures as small block arrays, stamped on level ground: 0 leaves what is there, CARVE makes it air."""

import numpy as np
from jaxtyping import Bool, UInt8

from teacher.worlds.materials import GRASS, PLANK, STONE, WATER

CARVE = 255
Template = UInt8[np.ndarray, "_ _ _"]  # width, height, depth; not named, for lists of them


def _blank(width: int, height: int, depth: int) -> Template:
    return np.zeros((width, height, depth), dtype=np.uint8)


def _disc(width: int) -> Bool[np.ndarray, "width width"]:
    """Columns whose middle lies in the circle of this diameter."""
    middle = np.arange(width) - (width - 1) / 2
    return middle[:, None] ** 2 + middle[None, :] ** 2 <= (width / 2) ** 2


def _rim(area: Bool[np.ndarray, "w d"]) -> Bool[np.ndarray, "w d"]:
    """Columns of an area that have a neighbour outside it."""
    padded = np.pad(area, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return area & ~inner


def _every_other(width: int, depth: int) -> Bool[np.ndarray, "width depth"]:
    return (np.arange(width)[:, None] + np.arange(depth)[None, :]) % 2 == 0


def tower(block: int, width: int, height: int, is_round: bool) -> Template:
    """A solid shaft with a battlement on top; `height` counts the battlement."""
    width |= 1
    area = _disc(width) if is_round else np.ones((width, width), dtype=bool)
    body = _blank(width, height, width)
    body[:, : height - 2][np.broadcast_to(area[:, None], (width, height - 2, width))] = block
    body[:, height - 2][_rim(area)] = block
    body[:, height - 1][_rim(area) & _every_other(width, width)] = block
    return body


def house(block: int, roof: int, width: int, depth: int, height: int) -> Template:
    """Four walls with a door on two sides under a pitched roof that overhangs by one block."""
    outer, span = width + 2, depth + 2
    rise = (span + 1) // 2
    body = _blank(outer, height + rise, span)
    body[1:-1, :height, 1:-1] = block
    body[2:-2, :height, 2:-2] = CARVE
    for i in range(rise):
        body[:, height + i, i : span - i] = roof
        body[0, height + i, i + 1 : span - i - 1] = 0
        body[-1, height + i, i + 1 : span - i - 1] = 0
        body[[1, -2], height + i, i + 1 : span - i - 1] = block
    door, tall = outer // 2, min(3, height - 1)
    body[door - 1 : door + 1, :tall, -2] = CARVE
    body[door - 1 : door + 1, :tall, 1] = CARVE
    return body


def castle(block: int, width: int, height: int, corner: int, keep: bool) -> Template:
    """Four corner towers joined by walls with a gate; sometimes a keep in the court."""
    wall = max(4, round(0.6 * height))
    body = _blank(width, height + (2 if keep else 0), width)
    inset = corner // 2 - 1
    ring = np.zeros((width, width), dtype=bool)
    ring[inset : width - inset, inset : width - inset] = True
    ring[inset + 2 : width - inset - 2, inset + 2 : width - inset - 2] = False
    body[:, : wall - 1][np.broadcast_to(ring[:, None], (width, wall - 1, width))] = block
    outer = np.zeros_like(ring)
    outer[inset : width - inset, inset : width - inset] = True
    body[:, wall - 1][_rim(outer) & _every_other(width, width)] = block
    gate = width // 2
    body[gate - 1 : gate + 2, : wall - 2, width - inset - 2 : width - inset] = CARVE
    post = tower(block, corner, height, False)
    w = post.shape[0]
    for x in (slice(0, w), slice(width - w, width)):
        for z in (slice(0, w), slice(width - w, width)):
            body[x, :height, z] = post
    if keep:
        middle = tower(block, corner, height + 2, False)
        at = (width - w) // 2
        body[at : at + w, :, at : at + w] = middle
    return body


def pyramid(block: int, width: int) -> Template:
    """Square steps, each one block smaller on every side."""
    width |= 1
    steps = (width + 1) // 2
    away = np.abs(np.arange(width) - width // 2)
    layer = steps - 1 - np.maximum(away[:, None], away[None, :])
    solid = np.arange(steps)[None, :, None] <= layer[:, None, :]
    return (solid * np.uint8(block)).astype(np.uint8)


def arch(block: int, width: int, height: int, thick: int) -> Template:
    """Two pillars and the round vault between them."""
    width |= 1
    pillar = max(2, width // 4)
    x, y = np.abs(np.arange(width) - width // 2)[:, None], np.arange(height)[None, :]
    half = width // 2 - pillar
    spring = height - 2 - half
    opening = (x <= half) & ((y < spring) | (np.hypot(x, y - spring + 0.5) <= half + 0.5))
    return np.repeat(np.where(opening, 0, block).astype(np.uint8)[:, :, None], thick, axis=2)


def stairs(block: int, width: int, height: int) -> Template:
    """A solid flight that ends in a landing."""
    rise = np.minimum(np.arange(height + 3) + 1, height)
    solid = np.arange(height)[None, :] < rise[:, None]
    return np.repeat((solid * np.uint8(block)).astype(np.uint8)[:, :, None], width, axis=2)


def well(block: int, width: int, height: int) -> Template:
    """A round curb full of water under a small roof on two posts."""
    width |= 1
    area = _disc(width)
    frame = STONE if block == PLANK else PLANK
    body = _blank(width, height, width)
    rim = _rim(area)
    body[:, 0][area] = WATER
    body[:, :2][np.broadcast_to(rim[:, None], (width, 2, width))] = block
    middle = width // 2
    body[[0, -1], 2 : height - 2, middle] = frame
    body[:, height - 2, 1:-1] = frame
    body[:, height - 1, 2:-2] = frame
    return body


def fence(block: int, width: int) -> Template:
    """A closed square of posts joined by a rail."""
    width = 3 * (width // 3) + 1
    rim = _rim(np.ones((width, width), dtype=bool))
    at_post = np.arange(width) % 3 == 0
    body = _blank(width, 3, width)
    body[:, 1][rim] = block
    body[:, :3][np.broadcast_to((rim & at_post[:, None] & at_post[None, :])[:, None], body.shape)] = block
    return body


def tree(trunk: int, height: int, crown: float, is_conifer: bool) -> Template:
    """A plank trunk under a crown of grass, round or pointed; `trunk` blocks thick."""
    reach = int(np.ceil(crown))
    width = 2 * reach + trunk
    middle = np.arange(width) - (width - 1) / 2
    flat = np.hypot(middle[:, None], middle[None, :])[:, None, :]
    bottom = height - reach // 2 - 1
    top = bottom + (2 * reach + 2 if is_conifer else 2 * reach + 1)
    y = np.arange(top)[None, :, None]
    if is_conifer:
        leaves = (y >= bottom - 1) & (flat <= crown * (top - y) / (top - bottom) + 0.3)
    else:
        leaves = np.hypot(flat, y - (bottom + reach)) <= crown + 0.3
    body = _blank(width, top, width)
    body[np.broadcast_to(leaves, body.shape)] = GRASS
    body[reach : reach + trunk, : bottom + 1, reach : reach + trunk] = PLANK
    return body


def stamp(blocks: UInt8[np.ndarray, "X Y Z"], template: Template, corner: tuple[int, int, int]) -> None:
    """Puts a template into the world, in place; what lies outside is cut off."""
    low = np.maximum(corner, 0)
    high = np.minimum(np.add(corner, template.shape), blocks.shape)
    if (high <= low).any():
        return
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = template[tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))]
    there = blocks[window]
    np.copyto(there, part, where=(part > 0) & (part != CARVE))
    there[part == CARVE] = 0
