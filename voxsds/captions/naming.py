"""Materials that a sentence names, by the words of a palette."""

from voxsds.captions.sentences import words
from voxsds.world.palette import Palette


def materials_in(text: str, palette: Palette) -> frozenset[int]:
    """The materials that `text` names: of "a castle of brick by the lake" brick and water.

    A word that is in no row of the palette names none, so the set may be empty.
    """
    said = set(words(text))
    return frozenset(palette.index(name) for name, known in palette.words.items() if said & known)
