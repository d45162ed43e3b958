"""Does the teacher know the words of a prompt?"""

import re
from collections.abc import Set
from dataclasses import dataclass

ENOUGH = 0.6  # share of known words below which a prompt is unlikely to be followed


@dataclass(frozen=True)
class KnownWords:
    """Share of a prompt's words that a vocabulary has."""

    share: float  # 0..1 of the prompt's words, repeated ones counted each time
    unknown: tuple[str, ...]  # in the prompt's order, each once


def known_share(prompt: str, vocabulary: Set[str]) -> KnownWords:
    """Words are runs of letters and digits, in any case: of "A stone TV" {"a", "stone"} knows 2/3."""
    words = re.findall(r"\w+", prompt.lower())
    if not words:
        raise ValueError(f"prompt {prompt!r} has no words; say what the world should look like")
    unknown = [word for word in words if word not in vocabulary]
    return KnownWords(1 - len(unknown) / len(words), tuple(dict.fromkeys(unknown)))


def prompt_warning(prompt: str, vocabulary: Set[str] | None) -> str | None:
    """Warning before a run; None where the teacher knows enough, or any word at all."""
    if vocabulary is None:
        return None
    known = known_share(prompt, vocabulary)
    if known.share >= ENOUGH:
        return None
    return (
        f"the teacher knows {known.share:.0%} of the words of {prompt!r}, not {', '.join(known.unknown)}: "
        "the world may not come to look like it. Use words of its words.txt, or a larger teacher."
    )
