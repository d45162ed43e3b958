"""Recipes under which the suite can be run: benchmarks/ablations.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxsds.files.params import read_params, read_value

ABLATIONS = Path(__file__).with_name("ablations.yaml")


@dataclass(frozen=True)
class Ablation:
    """A change of the recipe."""

    idea: str  # what is tried, in a few words
    set: dict[str, Any]  # dotted paths of params.yaml and their values


def read_ablations(path: Path = ABLATIONS) -> dict[str, Ablation]:
    """By name; ValueError names what is wrong with the file."""
    content = read_params(path)
    return {name: read_value(content, name, Ablation, where=str(path)) for name in content}
