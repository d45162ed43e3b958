"""Generated block worlds with honest captions: attributes → terrain → structures → degradation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from teacher.worlds import lines
from teacher.worlds.degrade import with_floating_blocks, with_fog, with_holes, with_noise
from teacher.worlds.layout import (
    FACED_SPREAD,
    LINES,
    Item,
    growth,
    measures,
    placed,
    scattered,
    template_of,
    templates,
)
from teacher.worlds.materials import BLOCK_OF
from teacher.worlds.structures import stamp
from teacher.worlds.terrain import REFERENCE, Ground, Terrain, flattened, layered, relief_of
from voxsds.captions.attributes import WATERY, Attributes, Structure, sample_attributes
from voxsds.captions.sentences import caption
from voxsds.captions.styles import Style

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class World:
    """A block world and what it shows.

    `opacity` is None where every block is opaque. In a foggy world it gives the opacity of every voxel, and
    `blocks` holds the material of the haze too.
    """

    blocks: UInt8[np.ndarray, "X Y Z"]
    caption: str
    attributes: Attributes
    opacity: Float[np.ndarray, "X Y Z"] | None = None


def generate(seed: int, style: Style, size: Shape = REFERENCE) -> World:
    """The world number `seed` of a style; the same bytes every time.

    Raises ValueError where the size is under 16 x 12 x 16, in which no structure fits.
    """
    rng = np.random.default_rng([style.salt, seed])
    attributes = sample_attributes(rng, style.held_out, style.degraded_share, style.mix)
    return build(attributes, rng, style, size)


def build(attributes: Attributes, rng: np.random.Generator, style: Style, size: Shape = REFERENCE) -> World:
    """A random world with the given attributes."""
    if size[0] < 16 or size[1] < 12 or size[2] < 16:
        raise ValueError(f"world of {size}: the smallest size in which structures fit is (16, 12, 16)")
    text = caption(attributes, style, rng)
    blocks = _clean(attributes, rng, style, size)
    match attributes.degraded:
        case "floating blocks":
            blocks = with_floating_blocks(blocks, rng)
        case "noisy":
            blocks = with_noise(blocks, rng)
        case "holes":
            blocks = with_holes(blocks, rng)
        case "foggy":
            blocks, opacity = with_fog(blocks, rng)
            return World(blocks, text, attributes, opacity)
    return World(blocks, text, attributes)


def _clean(
    attributes: Attributes, rng: np.random.Generator, style: Style, size: Shape
) -> UInt8[np.ndarray, "X Y Z"]:
    """Terrain and structures, before any degradation."""
    alone = any(s.kind in LINES for s in attributes.structures)
    site = _middle(size, style, rng, 0.5 if alone else 1.0)
    items = placed(templates(attributes, style, size, rng), site, size, rng, style.faced)
    ground = _ground(attributes, items, site, size, style, rng)
    terrain = relief_of(attributes.relief, ground, rng)
    items = _moved_beside(attributes.relief, items, ground, terrain, site)
    height, levels_at = _levelled(terrain, items, size, attributes.relief)
    line = next((s for s in attributes.structures if s.kind in LINES), None)
    area = None
    if line is not None and line.kind == "road":
        width, _ = measures(line, style, size, rng)
        area = lines.road_area(ground, width, rng.uniform(-2, 2) * ground.across, rng.uniform(0, 6.28))
        height = lines.smoothed_under(height, area)
    levels = np.clip(np.round(height), 1, size[1] - 2).astype(int)
    blocks = layered(levels, terrain.water, size[1], attributes.biome, attributes.relief)
    if line is not None:
        _draw_line(blocks, levels, line, ground, terrain, area, style, rng)
    for item, level in zip(items, levels_at, strict=True):
        stamp(blocks, item.template, (item.corner[0], level, item.corner[1]))
    if any(s.kind == "trees" and s.count == 0 for s in attributes.structures):
        _plant(blocks, levels, terrain, items, len(attributes.structures) == 1, style, rng)
    return blocks


def _middle(size: Shape, style: Style, rng: np.random.Generator, share: float) -> Float[np.ndarray, "2"]:
    """Near the centre: normally distributed and cut off, in blocks of a world of 32; `share` of that."""
    offset = share * np.clip(rng.normal(0, style.offset_sd, 2), -style.offset_limit, style.offset_limit)
    columns = np.array([size[0], size[2]], dtype=float)
    return columns / 2 + offset * columns / 32


def _ground(
    attributes: Attributes,
    items: list[Item],
    site: np.ndarray,
    size: Shape,
    style: Style,
    rng: np.random.Generator,
) -> Ground:
    """Where the relief lies: under the structures, except that water lies beside them."""
    angle = rng.uniform(0, 2 * np.pi)
    if attributes.relief == "river" and rng.random() < 0.5:  # often nearly along an axis
        angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.15)
    if any(s.kind == "wall" for s in attributes.structures) and rng.random() < 0.7:
        angle = rng.integers(4) * np.pi / 2
    if style.faced:
        angle = rng.normal(0, FACED_SPREAD)
    reach = max((max(item.extent) for item in items), default=0) / 2
    focus = site
    if attributes.relief in ("hill", "mountain", "island") and items:
        low = np.min([item.corner for item in items], axis=0)
        high = np.max([np.add(item.corner, item.extent) for item in items], axis=0)
        focus = (low + high) / 2
    if attributes.relief in ("island", "valley"):  # room for water or ridges on both sides
        focus = (focus + np.array([size[0], size[2]]) / 2) / 2
    direction = np.array([np.cos(angle), np.sin(angle)])
    if attributes.relief in ("lake", "river", "beach") and items:  # half the way; the items go the other half
        aside = {"lake": 6.0, "river": 4.5, "beach": 2.0}[attributes.relief]
        focus = site - direction * (aside * size[0] / 32 + 0.4 * reach)
    return Ground(
        size,
        focus,
        direction,
        reach,
        rng.uniform(*style.roughness),
        rng.uniform(*style.amplitude),
    )


def _moved_beside(
    relief: str, items: list[Item], ground: Ground, terrain: Terrain, site: np.ndarray
) -> list[Item]:
    """Moves the items from the water to the nearest place of their whole footprint on dry land.

    A place is one block inside the world where that can be; the nearest is the least move of the corner.
    """
    if relief not in WATERY or relief == "island":
        return items
    dry = np.pad(np.cumsum(np.cumsum(terrain.height < terrain.water, axis=0), axis=1), ((1, 0), (1, 0)))
    moved = []
    for item in items:
        w, d = (int(e) for e in item.extent)
        wet = dry[w:, d:] - dry[:-w, d:] - dry[w:, :-d] + dry[:-w, :-d]  # wet columns by corner
        x, z = np.arange(wet.shape[0])[:, None], np.arange(wet.shape[1])[None, :]
        far = np.hypot(x - item.corner[0], z - item.corner[1]) + 1000.0 * (wet > 0)
        far[[0, -1]] += 500.0
        far[:, [0, -1]] += 500.0
        corner = np.unravel_index(int(np.argmin(far)), far.shape)
        moved.append(Item(item.kind, item.template, (int(corner[0]), int(corner[1]))))
    return moved


def _levelled(
    terrain: Terrain, items: list[Item], size: Shape, relief: str
) -> tuple[Float[np.ndarray, "X Z"], list[int]]:
    """The ground made flat under every item, and the level on which each stands."""
    height, levels = terrain.height, []
    for item in items:
        x, z = (slice(max(c, 0), c + e) for c, e in zip(item.corner, item.extent, strict=True))
        share = 80 if relief in ("hill", "mountain", "island") else 50
        level = round(float(np.percentile(terrain.height[x, z], share)))
        highest = int(0.9 * size[1]) - item.template.shape[1]  # tops stay in the pictures
        level = max(min(level, highest), terrain.water + 1, 2)
        height = flattened(height, item.corner, item.extent, level, 4.0 * size[0] / 32)
        levels.append(level)
    return height, levels


def _draw_line(
    blocks: UInt8[np.ndarray, "X Y Z"],
    levels: Int[np.ndarray, "X Z"],
    line: Structure,
    ground: Ground,
    terrain: Terrain,
    area: Bool[np.ndarray, "X Z"] | None,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Builds the wall, bridge or road of a world, in place."""
    block = BLOCK_OF[line.material or "stone"]
    if area is not None:
        lines.road(blocks, levels, area, block)
        return
    width, height = measures(line, style, ground.shape, rng)
    if line.kind == "wall":
        lines.wall(blocks, levels, ground, block, round(height), max(2.5, width))
        return
    near = levels[ground.radius() < terrain.channel + 5 * ground.across]
    bank = int(np.median(near[near >= terrain.water]))
    lines.bridge(blocks, levels, ground, block, bank, terrain.channel + 3.0 * ground.across, width / 2)


def _plant(
    blocks: UInt8[np.ndarray, "X Y Z"],
    levels: Int[np.ndarray, "X Z"],
    terrain: Terrain,
    items: list[Item],
    alone: bool,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Scatters trees on dry ground that nothing stands on, in place."""
    factor = growth(blocks.shape)
    surface = np.take_along_axis(blocks, levels[:, None, :], axis=1)[:, 0]
    free = (levels > terrain.water) & (surface == 0)
    reach = int(np.ceil(2 * factor))
    for item in items:
        x, z = (
            slice(max(c - reach, 0), c + e + reach) for c, e in zip(item.corner, item.extent, strict=True)
        )
        free[x, z] = False
    inside = np.zeros_like(free)
    inside[reach:-reach, reach:-reach] = True
    area = blocks.shape[0] * blocks.shape[2] / 1024 / factor**2
    number = round(rng.uniform(6, 10) * area) if alone else round(rng.uniform(4, 7) * area)
    structure = Structure("trees", None, count=0)
    spots = scattered(free & inside, max(2, number), 5 * factor, rng)
    if len(spots) < 2:  # a small world: nearer to each other and to the edge
        spots = scattered(free, 2, 3.0, rng)
    for x, z in spots:
        width, height = measures(structure, style, blocks.shape, rng)
        tree = template_of(structure, min(width, 1.4) * factor, height, rng, style.faced)
        w, _, d = tree.shape
        stamp(blocks, tree, (x - w // 2, int(levels[x, z]), z - d // 2))
