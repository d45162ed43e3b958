"""Which materials a sentence names, in the words of the captions."""

from voxsds.captions.attributes import BIOMES, MATERIALS
from voxsds.captions.sentences import words
from voxsds.captions.wordings import CORE, EVALUATOR_SYNONYMS, TEACHER_SYNONYMS
from voxsds.world.palette import GRASS, PLANK, SAND, WATER

# Words for things that are of a material without being called so.
_NOUNS = {
    GRASS: "tree trees",
    PLANK: "tree trees",
    SAND: "desert beach",
    WATER: "water sea ocean lake pond river stream island isle coast shore beach seaside",
}
_SAY_NOTHING = frozenset({"bare"})  # part of the wordings of several materials


def materials_in(text: str) -> frozenset[int]:
    """The materials that `text` names: of "a stone tower on snowy hills" stone and snow.

    A word that no caption has names none, so the set may be empty.
    """
    said = set(words(text))
    return frozenset(material for material, known in _WORDS.items() if said & known)


def _words() -> dict[int, frozenset[str]]:
    terms = [*BIOMES.items(), *((f"material {name}", material) for name, material in MATERIALS.items())]
    terms.append(("bridge plank", PLANK))
    found = {material: set(words(nouns)) for material, nouns in _NOUNS.items()}
    for term, material in terms:
        for wording in (CORE[term], *TEACHER_SYNONYMS.get(term, ()), *EVALUATOR_SYNONYMS.get(term, ())):
            found.setdefault(material, set()).update(words(wording))
    return {material: frozenset(known - _SAY_NOTHING) for material, known in found.items()}


_WORDS = _words()
