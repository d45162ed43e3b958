"""Contents of a generated world: biome, relief, structures, degradation, and how often each occurs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

# Everything here is a word of the captions; which block a word means is the generator's affair.
MATERIALS = ("stone", "plank", "sand", "snow", "dirt")  # of structures
BIOMES = {"grassy": "grass", "sandy": "sand", "snowy": "snow", "rocky": "stone", "dirt": "dirt"}  # its ground
RELIEFS = ("plain", "hills", "hill", "mountain", "valley", "island", "lake", "river", "beach")
WATERY = ("island", "lake", "river", "beach")
SIZES = (None, "big", "small")
DEGRADATIONS = ("floating blocks", "foggy", "noisy", "holes")

_OPEN = ("plain", "hills", "valley")
_ANY = ("plain", "hills", "hill", "mountain", "valley", "island", "lake", "river", "beach")
# Reliefs on which a structure of each kind stands; the order of kinds is their order in a caption.
STANDS_ON: dict[str, tuple[str, ...]] = {
    "castle": ("plain", "hills", "hill", "island"),
    "tower": _ANY,
    "house": _ANY,
    "pyramid": ("plain", "hills", "valley", "island", "beach"),
    "arch": ("plain", "hills", "hill", "valley", "island", "beach"),
    "stairs": ("plain", "hills", "hill", "valley"),
    "well": ("plain", "hills", "hill", "valley"),
    "fence": ("plain", "hills", "valley"),
    "wall": _OPEN,
    "bridge": ("river",),
    "road": ("plain", "hills"),
    "trees": ("plain", "hills", "hill", "valley", "island", "lake", "river", "beach"),
}
KINDS = tuple(STANDS_ON)
# Kept from the teacher, so that drawing them shows composition: a tenth of the 55 (material, kind) pairs.
HELD_OUT = frozenset(
    {
        ("sand", "tower"),
        ("snow", "house"),
        ("dirt", "castle"),
        ("plank", "pyramid"),
        ("stone", "stairs"),
        ("snow", "arch"),
    }
)


@dataclass(frozen=True)
class Structure:
    """One kind of structure in a world; `material` is None for trees (plank trunks, grass crowns)."""

    kind: str
    material: str | None
    count: int = 1  # 0 = several, not counted (trees)
    size: str | None = None  # "big", "small" or None
    roof: str | None = None  # material of a house's roof


@dataclass(frozen=True)
class Attributes:
    """Everything a caption may say of a world."""

    biome: str
    relief: str
    structures: tuple[Structure, ...] = ()
    degraded: str | None = None

    @property
    def relation(self) -> str | None:
        """Relation of structures to the relief: "on", "in", "beside", "over", "across"; None without any."""
        if not self.structures:
            return None
        match self.structures[0].kind, self.relief:
            case "bridge", _:
                return "over"
            case (("wall" | "road"), _):
                return "across"
            case _, ("lake" | "river"):
                return "beside"
            case _, "valley":
                return "in"
            case _, "plain" if self.biome == "sandy":
                return "in"
            case _:
                return "on"

    @property
    def materials(self) -> tuple[str, ...]:
        """Materials of the structures, one per kind that has one."""
        return tuple(s.material for s in self.structures if s.material is not None)

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(s.count for s in self.structures)


# The prompts that the project is judged by, and the worlds that they describe.
PROMPTS: dict[str, Attributes] = {
    "a stone tower on snowy hills": Attributes("snowy", "hills", (Structure("tower", "stone"),)),
    "a wooden house on a grassy plain": Attributes("grassy", "plain", (Structure("house", "plank"),)),
    "a sand pyramid in a sandy desert": Attributes("sandy", "plain", (Structure("pyramid", "sand"),)),
    "a snowy mountain": Attributes("snowy", "mountain"),
    "a grassy island in the water": Attributes("grassy", "island"),
    "a stone wall across rocky hills": Attributes("rocky", "hills", (Structure("wall", "stone"),)),
    "a lake between grassy hills": Attributes("grassy", "lake"),
    "a plank bridge over a river": Attributes("grassy", "river", (Structure("bridge", "plank"),)),
}

_BIOME_WEIGHTS = {"grassy": 0.33, "sandy": 0.19, "snowy": 0.2, "rocky": 0.18, "dirt": 0.1}
_MATERIAL_WEIGHTS = {"stone": 0.32, "plank": 0.28, "sand": 0.15, "snow": 0.12, "dirt": 0.13}
_ROOF_WEIGHTS = {"stone": 0.3, "plank": 0.15, "dirt": 0.4, "snow": 0.1, "sand": 0.05}
_KIND_WEIGHTS = {
    "castle": 0.11,
    "tower": 0.17,
    "house": 0.17,
    "pyramid": 0.1,
    "arch": 0.06,
    "stairs": 0.06,
    "well": 0.06,
    "fence": 0.05,
    "wall": 0.07,
    "bridge": 0.06,
    "road": 0.04,
    "trees": 0.05,
}


@dataclass(frozen=True)
class Mix:
    """Frequencies of what occurs in the worlds of a style; weights need not add up to 1."""

    forms: Mapping[str, float]  # a prompt's world, a bare relief, several structures, one
    bare: Mapping[str, float]  # reliefs without anything on them
    plain_roofs: float  # share of houses with a roof of what their walls are of


USUAL = Mix(
    forms=MappingProxyType({"prompt": 0.26, "bare": 0.10, "two": 0.20, "one": 0.44}),
    bare=MappingProxyType(
        {
            "plain": 0.2,
            "hills": 0.24,
            "hill": 0.24,
            "mountain": 0.08,
            "valley": 0.06,
            "island": 0.04,
            "lake": 0.03,
            "river": 0.06,
            "beach": 0.05,
        }
    ),
    plain_roofs=0.0,
)
VARIED = Mix(
    forms=MappingProxyType({"prompt": 0.24, "bare": 0.12, "two": 0.28, "one": 0.36}),
    bare=MappingProxyType(dict.fromkeys(USUAL.bare, 1 / 9)),
    plain_roofs=0.5,
)
_PAIRED = {"tower": 0.3, "house": 0.3, "pyramid": 0.1, "arch": 0.1, "well": 0.1, "stairs": 0.1}


def pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the keys, with probability proportional to its weight."""
    shares = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def sample_attributes(
    rng: np.random.Generator,
    held_out: frozenset[tuple[str, str]],  # (material, kind) pairs never drawn
    degraded_share: float,  # 0..1
    mix: Mix = USUAL,
) -> Attributes:
    """Attributes of one random world."""
    match pick(rng, mix.forms):
        case "prompt":
            drawn = _prompt(rng)
        case "bare":
            drawn = Attributes(pick(rng, _BIOME_WEIGHTS), pick(rng, mix.bare))
        case "two":
            drawn = _two(rng, held_out)
        case _:
            drawn = _one(rng, held_out)
    drawn = replace(drawn, structures=tuple(_plainly_roofed(rng, s, mix) for s in drawn.structures))
    if rng.random() < degraded_share:
        return replace(drawn, degraded=str(rng.choice(DEGRADATIONS)))
    return drawn


def _prompt(rng: np.random.Generator) -> Attributes:
    """The world of one of the prompts, with the rest of its attributes drawn."""
    name = list(PROMPTS)[rng.integers(len(PROMPTS))]
    asked = PROMPTS[name]
    biome = pick(rng, _BIOME_WEIGHTS) if asked.relief == "river" and rng.random() < 0.4 else asked.biome
    structures = tuple(
        replace(s, size=_size(rng), roof=_roof(rng, s.kind, s.material)) for s in asked.structures
    )
    return replace(asked, biome=biome, structures=structures)


def _one(rng: np.random.Generator, held_out: frozenset[tuple[str, str]]) -> Attributes:
    kind, biome = pick(rng, _KIND_WEIGHTS), pick(rng, _BIOME_WEIGHTS)
    relief = _relief(rng, STANDS_ON[kind])
    return Attributes(biome, relief, (_structure(rng, kind, biome, held_out),))


def _two(rng: np.random.Generator, held_out: frozenset[tuple[str, str]]) -> Attributes:
    """Several of one kind, two kinds, or one among trees."""
    biome, form = pick(rng, _BIOME_WEIGHTS), rng.random()
    if form < 0.35:
        kind = str(rng.choice(["tower", "tower", "house", "house", "pyramid"]))
        count = 2 if kind == "pyramid" or rng.random() < 0.65 else 3
        structure = replace(_structure(rng, kind, biome, held_out), count=count, size=None)
        return Attributes(biome, _relief(rng, ("plain", "hills")), (structure,))
    if form < 0.65:
        kind = pick(rng, {k: w for k, w in _KIND_WEIGHTS.items() if k not in ("trees", "road", "fence")})
        reliefs = tuple(r for r in STANDS_ON[kind] if r in STANDS_ON["trees"])
        pair = (_structure(rng, kind, biome, held_out), Structure("trees", None, count=0))
        return Attributes(biome, _relief(rng, reliefs), pair)
    kinds = {pick(rng, _PAIRED)}
    while len(kinds) < 2:
        kinds.add(pick(rng, _PAIRED))
    pair = tuple(
        replace(_structure(rng, kind, biome, held_out), size=None) for kind in sorted(kinds, key=KINDS.index)
    )
    return Attributes(biome, _relief(rng, ("plain", "hills")), pair)


def _structure(
    rng: np.random.Generator, kind: str, biome: str, held_out: frozenset[tuple[str, str]]
) -> Structure:
    """A structure of this kind, in a material that the style allows and that shows where it lies flat."""
    if kind == "trees":
        return Structure(kind, None, count=int(rng.random() < 0.3), size=None)
    weights = {m: w for m, w in _MATERIAL_WEIGHTS.items() if (m, kind) not in held_out}
    if kind in ("road", "fence"):
        weights = {m: w for m, w in weights.items() if m != BIOMES[biome]}
    material = pick(rng, weights)
    return Structure(kind, material, 1, _size(rng), _roof(rng, kind, material))


def _relief(rng: np.random.Generator, allowed: tuple[str, ...]) -> str:
    """One of the reliefs; plains and hills weigh double."""
    return pick(rng, {relief: 2.0 if relief in ("plain", "hills") else 1.0 for relief in allowed})


def _size(rng: np.random.Generator) -> str | None:
    return SIZES[int(np.searchsorted([0.6, 0.8], rng.random()))]


def _roof(rng: np.random.Generator, kind: str, material: str | None) -> str | None:
    """The material of a house's roof, another than that of its walls."""
    if kind != "house":
        return None
    return pick(rng, {m: w for m, w in _ROOF_WEIGHTS.items() if m != material})


def _plainly_roofed(rng: np.random.Generator, structure: Structure, mix: Mix) -> Structure:
    """The structure, a house's roof for some of what its walls are of."""
    if structure.roof is None or not mix.plain_roofs or rng.random() >= mix.plain_roofs:
        return structure
    return replace(structure, roof=structure.material)
