"""Two ways of making and describing worlds: one for the teacher, one for the evaluator that judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from voxsds.captions.attributes import HELD_OUT, VARIED, Mix
from voxsds.captions.wordings import EVALUATOR_SYNONYMS, TEACHER_SYNONYMS, Words, with_synonyms


@dataclass(frozen=True)
class Sizes:
    """Ranges of a structure's width and height, blocks of a world of 32 x 24 x 32."""

    width: tuple[float, float]
    height: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Style:
    """Parameter ranges and wordings of one family of worlds."""

    name: str
    salt: int  # part of every seed, so that no two styles share a world
    sizes: Mapping[str, Sizes]
    offset_sd: float  # blocks of 32, of the structures from the middle
    offset_limit: float
    faced: bool  # all worlds lie the same way round: see `layout.FACED_AXIS`
    roughness: tuple[float, float]
    amplitude: tuple[float, float]
    degraded_share: float
    held_out: frozenset[tuple[str, str]]  # (material, kind) pairs that are never made
    mix: Mix
    canonical_share: float  # of captions in canonical wordings throughout
    core_share: float  # in the others, of the canonical wording of a term; its synonyms share the rest
    words: Words  # term -> wordings, the first of which is the canonical one


TEACHER = Style(
    name="teacher",
    salt=0x7EAC4E12,
    sizes=MappingProxyType(
        {
            "tower": Sizes((5.0, 7.9), (9.0, 13.0)),
            "house": Sizes((8.0, 12.0), (4.0, 6.0)),
            "castle": Sizes((17.0, 21.0), (7.0, 10.0)),
            "wall": Sizes((2.6, 4.0), (5.0, 8.0)),
            "bridge": Sizes((5.0, 7.0)),
            "pyramid": Sizes((12.0, 19.0)),
            "well": Sizes((5.0, 7.9), (6.0, 8.0)),
            "stairs": Sizes((5.0, 7.0), (7.0, 10.0)),
            "arch": Sizes((10.0, 14.0), (9.0, 12.0)),
            "road": Sizes((3.0, 5.0)),
            "trees": Sizes((1.0, 2.0), (4.0, 6.0)),
            "fence": Sizes((13.0, 20.0)),
        }
    ),
    offset_sd=2.0,
    offset_limit=7.0,
    faced=True,
    roughness=(0.6, 1.2),
    amplitude=(0.85, 1.15),
    degraded_share=0.12,
    held_out=HELD_OUT,
    mix=VARIED,
    canonical_share=0.15,
    core_share=0.5,
    words=with_synonyms(TEACHER_SYNONYMS),
)

EVALUATOR = Style(
    name="evaluator",
    salt=0x0E7A1A70,
    sizes=MappingProxyType(
        {
            "tower": Sizes((4.0, 8.9), (8.0, 14.0)),
            "house": Sizes((7.0, 13.0), (4.0, 7.0)),
            "castle": Sizes((16.0, 23.0), (6.0, 11.0)),
            "wall": Sizes((2.1, 5.0), (4.0, 9.0)),
            "bridge": Sizes((4.0, 8.0)),
            "pyramid": Sizes((10.0, 21.0)),
            "well": Sizes((5.0, 8.9), (6.0, 9.0)),
            "stairs": Sizes((4.0, 8.0), (6.0, 11.0)),
            "arch": Sizes((9.0, 16.0), (8.0, 13.0)),
            "road": Sizes((3.0, 6.0)),
            "trees": Sizes((1.0, 2.4), (3.0, 7.0)),
            "fence": Sizes((12.0, 22.0)),
        }
    ),
    offset_sd=4.5,
    offset_limit=9.0,
    faced=False,
    roughness=(0.3, 1.7),
    amplitude=(0.75, 1.3),
    degraded_share=0.12,
    held_out=frozenset(),
    mix=VARIED,
    canonical_share=0.15,
    core_share=0.4,
    words=with_synonyms(EVALUATOR_SYNONYMS),
)

STYLES: Mapping[str, Style] = MappingProxyType({style.name: style for style in (TEACHER, EVALUATOR)})
