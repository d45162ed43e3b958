"""The engine's materials, which generated worlds are made of, by the words of the captions."""

from voxsds.captions.attributes import BIOMES
from voxsds.world.palette import read_palette

ENGINE = read_palette("engine")
GRASS, DIRT, STONE, PLANK, SNOW, SAND, WATER = (
    ENGINE.index(name) for name in ("Grass", "Dirt", "Stone", "Plank", "Snow", "Sand", "Water")
)
BLOCK_OF = {"grass": GRASS, "dirt": DIRT, "stone": STONE, "plank": PLANK, "snow": SNOW, "sand": SAND}
GROUND_OF = {biome: BLOCK_OF[material] for biome, material in BIOMES.items()}
