"""What the suite runs: prompts on maps with seeds, and changes to params.yaml under which to run them."""

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from voxsds.files.params import read_params, read_section

PROMPTS = Path(__file__).with_name("prompts.yaml")
Left = Literal["all", "blocks", "shape", "nothing"]
Params = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One prompt on one map with one seed."""

    prompt: str
    kind: str  # of the prompts: one structure, relation, terrain, ...
    map: int
    seed: int
    leaves: Left  # what the prompt leaves alone there

    @property
    def name(self) -> str:
        """Unique in the suite."""
        return f"{self.prompt}, map {self.map}, seed {self.seed}"


@dataclass(frozen=True)
class Prompt:
    """An entry of prompts.yaml."""

    kind: str
    prompt: str
    maps: dict[int, Left]


@dataclass(frozen=True)
class Suite:
    """prompts.yaml."""

    seeds: dict[int, tuple[int, ...]]  # by map
    prompts: list[Prompt]


def read_cases(path: Path = PROMPTS) -> tuple[Case, ...]:
    """All runs of the suite, those on the largest map first: they take longest."""
    suite = read_section({"suite": read_params(path)}, "suite", Suite, where=str(path))
    cases = [
        Case(entry.prompt, entry.kind, map_id, seed, left)
        for entry in suite.prompts
        for map_id, left in entry.maps.items()
        for seed in suite.seeds[map_id]
    ]
    return tuple(sorted(cases, key=lambda case: -case.map))


def first_seeds(cases: Iterable[Case]) -> tuple[Case, ...]:
    """One case for each prompt on each map."""
    first: dict[tuple[str, int], Case] = {}
    for case in cases:
        first.setdefault((case.prompt, case.map), case)
    return tuple(first.values())


def chosen(
    cases: Sequence[Case],
    only: str | None = None,
    maps: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> tuple[Case, ...]:
    """The cases whose prompt holds one of the comma-separated parts of `only`, by map and seed.

    None chooses all; ValueError where nothing is left.
    """
    parts = [part.strip() for part in (only or "").split(",") if part.strip()]
    found = tuple(
        case
        for case in cases
        if (not parts or any(part in case.prompt for part in parts))
        and (not maps or case.map in maps)
        and (not seeds or case.seed in seeds)
    )
    if not found:
        raise ValueError(
            f"no case of {PROMPTS.name} has {only!r} in its prompt, on maps {maps or 'any'} with seeds "
            f"{seeds or 'any'}"
        )
    return found


def parsed_overrides(assignments: Iterable[str]) -> Params:
    """`train.steps=100` as a path and the value that YAML reads; ValueError without a `=`."""
    overrides = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set {assignment}: write path=value, like train.steps=100")
        overrides[path] = yaml.safe_load(value)
    return overrides


def with_overrides(params: Params, overrides: Mapping[str, Any]) -> Params:
    """A copy of `params` with the values at these dotted paths replaced; ValueError for an unknown path."""
    changed = copy.deepcopy(params)
    for path, value in overrides.items():
        *parents, last = path.split(".")
        section: Any = changed
        for key in parents:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            near = difflib.get_close_matches(path, _paths(params), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"params.yaml has no {path}{hint}")
        section[last] = value
    return changed


def _paths(section: Params, parent: str = "") -> list[str]:
    paths = []
    for key, value in section.items():
        paths += [f"{parent}{key}", *(_paths(value, f"{parent}{key}.") if isinstance(value, dict) else [])]
    return paths
