"""Height fields of the reliefs, and the layered blocks under them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt8

from teacher.worlds.materials import DIRT, GROUND_OF, SAND, STONE, WATER
from voxsds.captions.attributes import WATERY

REFERENCE = (32, 24, 32)  # all lengths below are blocks of a world of this size


@dataclass(frozen=True, eq=False)
class Ground:
    """Where a relief is drawn: a grid, what its lengths are multiplied with, and its focus."""

    shape: tuple[int, int, int]
    focus: Float[np.ndarray, "2"]  # (x, z): the peak, the island, a point of the river or of the shore
    direction: Float[np.ndarray, "2"]  # unit (x, z): across the river, inland from the shore
    reach: float  # blocks around the focus that structures need, 0 without any
    roughness: float  # factor on the random bumps
    amplitude: float  # factor on the height of hills and mountains

    @property
    def across(self) -> float:
        """Horizontal lengths grow with the smaller side."""
        return min(self.shape[0], self.shape[2]) / REFERENCE[0]

    @property
    def up(self) -> float:
        return self.shape[1] / REFERENCE[1]

    def offsets(self) -> tuple[Float[np.ndarray, "X 1"], Float[np.ndarray, "1 Z"]]:
        """Distances of the columns' middles from the focus along x and along z."""
        x = np.arange(self.shape[0])[:, None] + 0.5 - self.focus[0]
        z = np.arange(self.shape[2])[None, :] + 0.5 - self.focus[1]
        return x, z

    def radius(self) -> Float[np.ndarray, "X Z"]:
        return np.hypot(*self.offsets())

    def along_and_across(self) -> tuple[Float[np.ndarray, "X Z"], Float[np.ndarray, "X Z"]]:
        """Distances along the line through the focus that `direction` is normal to, and from that line."""
        (x, z), (a, b) = self.offsets(), self.direction
        return b * x - a * z, a * x + b * z

    def noise(self, rng: np.random.Generator, cell: float) -> Float[np.ndarray, "X Z"]:
        """Smooth noise of standard deviation 1 whose bumps are about `cell` blocks apart (of 32)."""
        along_x = _spline(self.shape[0], cell * self.across)
        along_z = _spline(self.shape[2], cell * self.across)
        knots = rng.standard_normal((along_x.shape[1], along_z.shape[1]))
        return (along_x @ knots @ along_z.T) / 0.479


@lru_cache(maxsize=64)
def _spline(length: int, cell: float) -> Float[np.ndarray, "length knots"]:
    """Weights of the uniform cubic B-spline; the squares of a row sum to 0.479 on average."""
    position = np.arange(length) / cell
    first = position.astype(int)
    t = (position - first)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    matrix = np.zeros((length, first[-1] + 4))
    np.put_along_axis(matrix, first[:, None] + np.arange(4), weights, axis=1)
    return matrix


@dataclass(frozen=True, eq=False)
class Terrain:
    """Heights (number of solid layers, before rounding) and the level up to which water stands (0 = dry)."""

    height: Float[np.ndarray, "X Z"]
    water: int
    channel: float = 0.0  # half-width of the river, blocks


def relief_of(relief: str, ground: Ground, rng: np.random.Generator) -> Terrain:
    """The terrain of a relief; heights are given for 24 layers and scaled."""
    rough = ground.roughness
    match relief:
        case "plain":
            return _dry(ground, 5.0 + 0.45 * rough * ground.noise(rng, 6.0))
        case "hills":
            return _dry(ground, _hills(ground, rng))
        case "hill":
            return _dry(ground, _hill(ground, rng))
        case "mountain":
            return _dry(ground, _mountain(ground, rng))
        case "valley":
            return _dry(ground, _valley(ground, rng))
        case "island":
            return _island(ground, rng)
        case "lake":
            return _lake(ground, rng)
        case "river":
            return _river(ground, rng)
        case "beach":
            return _beach(ground, rng)
        case _:
            raise ValueError(f"relief {relief!r}: known reliefs are in voxsds.captions.attributes.RELIEFS")


def _dry(ground: Ground, height: Float[np.ndarray, "X Z"]) -> Terrain:
    return Terrain(np.clip(height, 2.0, 17.0) * ground.up, 0)


def _hills(ground: Ground, rng: np.random.Generator) -> Float[np.ndarray, "X Z"]:
    """Several rounded tops; the noise is stretched to a fixed range, so that it never is a plain."""
    bumps = ground.noise(rng, rng.uniform(5.5, 7.5))
    low, high = bumps.min(), bumps.max()
    span = rng.uniform(5.0, 7.0) * ground.amplitude
    return 3.5 + span * (bumps - low) / (high - low) + 0.3 * ground.roughness * ground.noise(rng, 4.0)


def _hill(ground: Ground, rng: np.random.Generator) -> Float[np.ndarray, "X Z"]:
    """One round top on a plain."""
    spread = (rng.uniform(6.0, 8.0) + 0.5 * ground.reach / ground.across) * ground.across
    top = rng.uniform(5.0, 7.0) * ground.amplitude
    dome = np.exp(-0.5 * (ground.radius() / spread) ** 2.4)
    return 3.6 + top * dome + 0.3 * ground.roughness * ground.noise(rng, 6.0)


def _mountain(ground: Ground, rng: np.random.Generator) -> Float[np.ndarray, "X Z"]:
    """One steep peak with ridges."""
    x, z = ground.offsets()
    ridges = 1 + 0.13 * np.sin(rng.integers(3, 6) * np.arctan2(z, x) + rng.uniform(0, 6.28))
    distance = ground.radius() / (ridges * ground.across * rng.uniform(13.0, 16.0))
    peak = rng.uniform(11.5, 14.0) * min(1.15, ground.amplitude)
    cone = np.maximum(0.0, 1 - distance) ** rng.uniform(1.0, 1.5)
    crags = (0.4 + 1.2 * np.sqrt(cone)) * ground.roughness * ground.noise(rng, 3.5)
    return 3.0 + peak * cone + crags


def _valley(ground: Ground, rng: np.random.Generator) -> Float[np.ndarray, "X Z"]:
    """A flat trough between two ridges that cross the world."""
    along, across = ground.along_and_across()
    bend = rng.uniform(-2, 2) * np.sin(along / (5.0 * ground.across)) * ground.across
    width = max(rng.uniform(6.5, 9.0) * ground.across, ground.reach + ground.across)
    rise = 1 - np.exp(-((np.abs(across - bend) / width) ** 4))
    return (
        3.5
        + rng.uniform(6.5, 8.5) * ground.amplitude * rise
        + 0.45 * ground.roughness * ground.noise(rng, 5.0)
    )


def _island(ground: Ground, rng: np.random.Generator) -> Terrain:
    """Land in the middle; water reaches every edge."""
    water = _water_level(ground, 4.0)
    radius = max(rng.uniform(9.0, 12.0) * ground.across, ground.reach + 2.0 * ground.across)
    shore = radius + 1.2 * ground.across * ground.noise(rng, 7.0)
    land = 1 / (1 + np.exp(-(shore - ground.radius()) / (1.6 * ground.across)))
    rise = rng.uniform(2.5, 5.5) * ground.amplitude * np.exp(-0.5 * (ground.radius() / (0.55 * radius)) ** 2)
    height = 1.5 + 4.2 * land + rise + 0.3 * ground.roughness * ground.noise(rng, 5.0) * land
    from_edge = _from_edge(ground.shape)
    limit = water - 1 + np.maximum(0.0, from_edge - 1.5 * ground.across)
    return Terrain(np.minimum(height * ground.up, limit), water)


def _lake(ground: Ground, rng: np.random.Generator) -> Terrain:
    """A round sheet of water among hills that rise away from it."""
    water = _water_level(ground, 4.0)
    shore = ground.across * (rng.uniform(7.0, 9.0) + 0.8 * ground.noise(rng, 7.0))
    outside = np.maximum(0.0, ground.radius() - shore) / ground.across
    bumps = np.clip(0.75 + 0.5 * ground.noise(rng, 6.0), 0.15, 2.0)
    hills = 4.9 + rng.uniform(4.5, 6.0) * ground.amplitude * bumps * np.minimum(1.0, outside / 7.0)
    height = np.where(outside > 0, np.maximum(hills * ground.up, water + 1), 2.0 * ground.up)
    return Terrain(height, water)


def _river(ground: Ground, rng: np.random.Generator) -> Terrain:
    """A channel across the whole world, gently bent, in flat banks one layer above the water."""
    water = _water_level(ground, 4.0)
    along, across = ground.along_and_across()
    wave, phase = rng.uniform(12.0, 18.0) * ground.across, rng.uniform(0, 6.28)
    bend = rng.uniform(0.5, 2.0) * ground.across * (np.sin(along / wave * 3.14 + phase) - np.sin(phase))
    half = rng.uniform(3.6, 5.0) * ground.across
    distance = np.abs(across - bend)
    rise = rng.uniform(0.0, 2.5) * ground.amplitude * np.clip((distance / ground.across - 7.0) / 7.0, 0, 1)
    bank = (5.3 + rise + 0.35 * ground.roughness * ground.noise(rng, 6.0)) * ground.up
    return Terrain(np.where(distance < half, 2.0 * ground.up, np.maximum(bank, water + 1)), water, half)


def _beach(ground: Ground, rng: np.random.Generator) -> Terrain:
    """A slope that dips under a straight sea."""
    water = _water_level(ground, 4.0)
    along, across = ground.along_and_across()
    wiggle = 1.3 * ground.across * ground.noise(rng, 8.0)
    inland = (across + wiggle) / ground.across
    land = np.minimum(0.9 + 0.28 * inland, rng.uniform(2.5, 4.5)) + 0.25 * ground.roughness * ground.noise(
        rng, 5.0
    )
    height = np.where(inland > 0, np.maximum(land * ground.up, 1.0), np.maximum(-2.0, 0.3 * inland - 1.0))
    return Terrain(np.maximum(water + height, 1.0), water)


def _water_level(ground: Ground, level: float) -> int:
    return max(2, round(level * ground.up))


def _from_edge(shape: tuple[int, int, int]) -> Int[np.ndarray, "X Z"]:
    """Columns between each column and the nearest edge."""
    x, z = np.arange(shape[0])[:, None], np.arange(shape[2])[None, :]
    return np.minimum(np.minimum(x, shape[0] - 1 - x), np.minimum(z, shape[2] - 1 - z))


def flattened(
    height: Float[np.ndarray, "X Z"],
    corner: tuple[int, int],  # smallest x and z of the footprint
    extent: tuple[int, int],
    level: int,  # layers
    margin: float,  # blocks around the footprint over which the ground returns to itself
) -> Float[np.ndarray, "X Z"]:
    """The ground brought to `level` under a footprint and one block around it."""
    x, z = np.arange(height.shape[0])[:, None], np.arange(height.shape[1])[None, :]
    beside_x = np.maximum(np.maximum(corner[0] - x, x - (corner[0] + extent[0] - 1)), 0)
    beside_z = np.maximum(np.maximum(corner[1] - z, z - (corner[1] + extent[1] - 1)), 0)
    t = np.clip((np.hypot(beside_x, beside_z) - 1) / margin, 0, 1)
    return level + (height - level) * t * t * (3 - 2 * t)


def layered(
    levels: Int[np.ndarray, "X Z"], water: int, layers: int, biome: str, relief: str
) -> UInt8[np.ndarray, "X Y Z"]:
    """Blocks of the ground: surface, subsoil, stone; water over what lies under its level."""
    y = np.arange(layers)[None, :, None]
    depth = levels[:, None, :] - y  # 1 at the top block, 0 and less in the air
    surface = GROUND_OF[biome]
    subsoil = {"grassy": DIRT, "sandy": SAND, "snowy": STONE, "rocky": STONE, "dirt": DIRT}[biome]
    by_depth = np.full(layers + 2, STONE, dtype=np.uint8)
    by_depth[0], by_depth[1], by_depth[2:4] = 0, surface, subsoil
    if biome == "snowy":
        by_depth[2] = surface
    blocks = by_depth[np.clip(depth, 0, layers + 1)]
    if relief in WATERY:
        wet = (levels < water)[:, None, :]
        bed = wet & (depth >= 1) & (depth <= 2)
        blocks[bed] = SAND if biome in ("grassy", "sandy", "dirt") else STONE
        blocks[wet & (depth <= 0) & (y < water)] = WATER
    return blocks
