"""Pieces of JSON that must be of a kind: a ValueError names the place, what is there, and the remedy.

`where` is the place for the message, such as "maps/1/map.json: worldConfig".
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_type_hints

import numpy as np
from jaxtyping import Float

T = TypeVar("T")


def as_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {shown(value)}; it must be an object {{...}}")
    return value


def as_list(holder: dict[str, Any], key: str, where: str) -> list[Any]:
    """The list `holder[key]`."""
    if key not in holder:
        raise ValueError(f'{where}: {key} is missing; add "{key}": [...]')
    if not isinstance(holder[key], list):
        raise ValueError(f"{where}: {key} is {shown(holder[key])}; it must be a list [...]")
    return holder[key]


def as_size(holder: dict[str, Any], key: str, where: str, unit: str) -> int:
    """The integer `holder[key]`, 1 or more; `unit` says of what."""
    size = holder.get(key)
    # bool is a subclass of int, and 3.0 is not an integer in these formats.
    if type(size) is not int or size < 1:
        found = f"is {shown(size)}" if key in holder else "is missing"
        raise ValueError(f"{where}.{key} {found}; give a size in {unit}, an integer of 1 or more")
    return size


def as_numbers(value: Any, count: int, where: str) -> Float[np.ndarray, " count"]:
    """`count` finite numbers."""
    if not isinstance(value, list):
        raise ValueError(f"{where} is {shown(value)}; it must be a list of {count} numbers")
    if len(value) != count:
        raise ValueError(f"{where} has {len(value)} entries; it must have {count} numbers")
    for i, number in enumerate(value):
        if not is_number(number):
            raise ValueError(f"{where}[{i}] is {shown(number)}; it must be a finite number")
    return np.array(value, dtype=np.float64)


def is_number(value: Any) -> bool:
    """A finite number that fits a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def shown(value: Any) -> str:
    """The value as JSON spells it, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Sequence[str], most: int = 24) -> str:
    """The names with commas, those after the first `most` as a number: "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that is spelt most like `name`, in whatever case: "Dark Oka" is "dark oak"."""
    lower = {each.lower(): each for each in known}
    return lower[difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.0)[0]]


def as_record(value: Any, kind: type[T], where: str) -> T:
    """The fields of the dataclass `kind`, nested ones too, out of objects that may hold more.

    Leaves are taken as they stand, so that a file written from the record reads the same to the last bit.
    """
    given, hints = as_object(value, where), get_type_hints(kind)
    if missing := [name for name in hints if name not in given]:
        raise ValueError(f"{where}: {missing[0]} is missing; run the stage again that wrote the file")
    return kind(**{n: _leaf_or_record(given[n], hint, f"{where}: {n}") for n, hint in hints.items()})


def _leaf_or_record(value: Any, kind: Any, where: str) -> Any:
    return as_record(value, kind, where) if isinstance(kind, type) and is_dataclass(kind) else value
