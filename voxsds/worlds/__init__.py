"""Endless block worlds with honest captions, for teaching and for judging a teacher."""

from voxsds.worlds.attributes import HELD_OUT, PROMPTS, Attributes, Structure
from voxsds.worlds.captions import canonical_caption, known_words, words
from voxsds.worlds.styles import EVALUATOR, STYLES, TEACHER, Style
from voxsds.worlds.world import World, build, generate

__all__ = [
    "EVALUATOR",
    "HELD_OUT",
    "PROMPTS",
    "STYLES",
    "TEACHER",
    "Attributes",
    "Structure",
    "Style",
    "World",
    "build",
    "canonical_caption",
    "generate",
    "known_words",
    "words",
]
