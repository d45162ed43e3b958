"""Sentences for worlds: a random honest one, and one fixed wording for retrieval."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from voxsds.captions.attributes import Attributes, Structure
from voxsds.captions.styles import STYLES, Style
from voxsds.captions.wordings import CORE

Choose = Callable[[str], str]  # term -> wording
LIMIT = 24  # words of a caption


def canonical_caption(attributes: Attributes) -> str:
    """The one fixed wording: every attribute but sizes and roofs, which a single view may not tell.

    `Attributes("snowy", "hills", (Structure("tower", "stone"),))` is "a stone tower on snowy hills".
    """
    place = _place(attributes, CORE.__getitem__, biome=CORE[attributes.biome])
    parts = [_structure(s, CORE.__getitem__, size=False, roof=False) for s in attributes.structures]
    text = place if not parts else _whole(CORE["whole"], attributes, parts, place, CORE.__getitem__)
    return _tidy(text + _tag(attributes, CORE.__getitem__))


def caption(attributes: Attributes, style: Style, rng: np.random.Generator) -> str:
    """A random wording in this style; slots are dropped at random, the main structure and degradation never.

    At most 24 words, lower case.
    """
    core_share = 1.0 if rng.random() < style.canonical_share else style.core_share

    def choose(term: str) -> str:
        wordings = style.words[term]
        if len(wordings) == 1 or rng.random() < core_share:
            return wordings[0]
        return wordings[rng.integers(1, len(wordings))]

    while True:
        place = _place(attributes, choose, biome=choose(attributes.biome) if rng.random() < 0.93 else "")
        parts = [
            _structure(s, choose, size=rng.random() < 0.6, roof=rng.random() < 0.5)
            for s in attributes.structures
        ]
        if not parts:
            text = place
        elif rng.random() < 0.06:
            text = _joined(parts, attributes, choose)
        else:
            text = _whole(choose("whole"), attributes, parts, place, choose)
        text = _tidy(text + _tag(attributes, choose))
        if len(text.split()) <= LIMIT:
            return text


def known_words(style: Style) -> frozenset[str]:
    """Every word that captions of this style can contain."""
    wordings = " ".join(" ".join(options) for options in style.words.values())
    return frozenset(words(re.sub(r"\{\w+\}", " ", wordings).replace("|", " "))) | {"a", "an"}


@cache
def canonical_words() -> Mapping[str, str]:
    """For each word that stands for a single canonical one in every style, that one: "grassy" for "green".

    Words that are canonical themselves, like "sand", are left out.
    """
    meanings: dict[str, set[str]] = defaultdict(set)
    for style in STYLES.values():
        for core, *synonyms in style.words.values():
            for synonym in synonyms:
                for said, meant in zip(synonym.split("|"), core.split("|"), strict=False):
                    if words(said) == [said] and words(meant) == [meant]:
                        meanings[said].add(meant)
    own = {word for core in CORE.values() for word in words(core)}
    return {said: meant for said, (meant, *others) in meanings.items() if not others and said not in own}


def words(text: str) -> list[str]:
    """The words of a sentence, without punctuation."""
    return re.findall(r"[a-z0-9-]+", text.lower())


def _place(attributes: Attributes, choose: Choose, biome: str) -> str:
    """The land as a noun phrase."""
    relief = attributes.relief
    if attributes.biome == "sandy" and relief in ("plain", "beach"):
        return choose("desert" if relief == "plain" else "sandy beach")
    return choose(relief).format(biome=biome)


def _structure(structure: Structure, choose: Choose, size: bool, roof: bool) -> str:
    """One kind of structure as a noun phrase."""
    name = choose(structure.kind).split("|")
    is_plural = structure.count != 1 or (len(name) == 2 and name[0] == name[1])  # "stairs" is always
    number = choose(f"count {structure.count}") if structure.count > 1 else ("" if is_plural else "a")
    term = "bridge plank" if (structure.kind, structure.material) == ("bridge", "plank") else None
    material = "" if structure.material is None else choose(term or f"material {structure.material}")
    scale = choose(structure.size) if size and structure.size else ""
    over = ""
    if roof and structure.roof and structure.count == 1:
        over = choose("roof").format(roof=choose(f"material {structure.roof}"))
    return f"{number} {scale} {material} {name[-1 if is_plural else 0]} {over}"


def _joined(parts: list[str], attributes: Attributes, choose: Choose) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{parts[0]} {choose('with' if attributes.structures[1].kind == 'trees' else 'and')} {parts[1]}"


def _whole(template: str, attributes: Attributes, parts: list[str], place: str, choose: Choose) -> str:
    relation = choose(f"relation {attributes.relation}")
    return template.format(structures=_joined(parts, attributes, choose), relation=relation, place=place)


def _tag(attributes: Attributes, choose: Choose) -> str:
    return choose(attributes.degraded) if attributes.degraded else ""


def _tidy(text: str) -> str:
    """Single spaces, no space before punctuation, "an" before a vowel."""
    text = re.sub(r"\s+", " ", text).strip().replace(" ,", ",").replace(" ;", ";")
    return re.sub(r"\ba (?=[aeio])", "an ", text)
