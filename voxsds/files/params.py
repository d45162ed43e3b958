"""params.yaml, strictly: each section becomes the frozen dataclass that its owner defines.

Unknown, missing and mistyped keys are all listed at once, each with its place and a remedy.
"""

import difflib
import math
import types
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from voxsds.files.disk import read_yaml

T = TypeVar("T")
_BAD = object()  # stands for a value that could not be read; its problem is already on the list


def read_params(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file; ValueError or FileNotFoundError naming the file otherwise."""
    try:
        params = read_yaml(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; run from the repository's root") from None
    if not isinstance(params, dict):
        raise ValueError(
            f"{path}: holds {_kind(params)} instead of keys and values; write lines like 'lr: 0.05'"
        )
    return params


def read_whole(params: dict[str, Any], cls: type[T], where: str = "params.yaml") -> T:
    """Reads the whole of `params` as an instance of the dataclass `cls`; ValueError lists all problems."""
    problems: list[str] = []
    value = _convert(params, cls, "", problems)
    _raise(problems, where)
    return value


def read_section(params: dict[str, Any], name: str, cls: type[T], where: str = "params.yaml") -> T:
    """Section `name` of `params` as an instance of the dataclass `cls`; ValueError lists all problems.

    Integers are accepted for floats and lists for tuples. A field without a default must be there.
    """
    return read_value(params, name, cls, where)


def read_value(params: dict[str, Any], name: str, kind: type[T], where: str = "params.yaml") -> T:
    """The value of key `name` as a `kind`: a scalar such as `lr`, or anything `read_section` reads."""
    problems: list[str] = []
    if name not in params:
        problems.append(f"{name} is missing; add it{_hint(name, params)}")
        value = _BAD
    else:
        value = _convert(params[name], kind, name, problems)
    _raise(problems, where)
    return value  # type: ignore[return-value]  # _convert gives a `kind` where it adds no problem


def _raise(problems: list[str], where: str) -> None:
    if problems:
        raise ValueError("\n".join(f"{where}: {problem}" for problem in problems))


def _convert(value: Any, kind: Any, place: str, problems: list[str]) -> Any:
    """`value` as the annotated type `kind`; _BAD, with a line in `problems`, where it is not one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(value, kind, place, problems)
    if origin is Literal:
        return _choice(value, arguments, place, problems)
    if origin in (Union, types.UnionType):
        return _union(value, kind, place, problems)
    if origin in (tuple, list):
        return _sequence(value, kind, place, problems)
    if origin is dict:
        return _mapping(value, kind, place, problems)
    return _scalar(value, kind, place, problems)


def _dataclass(value: Any, cls: Any, place: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _mistyped(value, "a section of keys and values", place, problems)
    known: dict[str, Field] = {field.name: field for field in fields(cls) if field.init}
    hints, found, before = get_type_hints(cls), {}, len(problems)
    prefix = f"{place}." if place else ""  # the whole file has no name of its own
    for key, item in value.items():
        if key in known:
            found[key] = _convert(item, hints[key], f"{prefix}{key}", problems)
        else:
            problems.append(f"{prefix}{key} is unknown; remove it{_hint(key, known)}")
    for key, field in known.items():
        if key not in value and field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{prefix}{key} is missing; add it ({_named(hints[key])})")
    if len(problems) > before:
        return _BAD
    try:
        return cls(**found)
    except ValueError as error:
        problems.append(f"{place}: {error}" if place else str(error))
        return _BAD


def _choice(value: Any, choices: tuple, place: str, problems: list[str]) -> Any:
    # Compared by type as well, because True == 1 in Python.
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    hint = _hint(value, [choice for choice in choices if isinstance(choice, str)])
    problems.append(f"{place} is {value!r}; choose one of {listed}{hint}")
    return _BAD


def _union(value: Any, kind: Any, place: str, problems: list[str]) -> Any:
    """The first alternative that fits; of a single one beside None, its own problems are told.

    Of sections that are told apart by a key `kind`, the one of that kind is meant.
    """
    alternatives = [alternative for alternative in get_args(kind) if alternative is not type(None)]
    if value is None and type(None) in get_args(kind):
        return None
    if len(alternatives) == 1:
        return _convert(value, alternatives[0], place, problems)
    if all(is_dataclass(alternative) for alternative in alternatives):
        return _by_kind(value, alternatives, place, problems)
    for alternative in alternatives:
        attempt: list[str] = []
        converted = _convert(value, alternative, place, attempt)
        if not attempt:
            return converted
    return _mistyped(value, _named(kind), place, problems)


def _by_kind(value: Any, sections: list[Any], place: str, problems: list[str]) -> Any:
    """The dataclass whose field `kind`, a Literal, has the value that stands there."""
    known = {kind: section for section in sections for kind in get_args(get_type_hints(section)["kind"])}
    if not isinstance(value, dict):
        return _mistyped(value, "a section of keys and values", place, problems)
    if "kind" not in value:
        problems.append(f"{place}.kind is missing; add it (one of {', '.join(known)})")
        return _BAD
    kind = _choice(value["kind"], tuple(known), f"{place}.kind", problems)
    return _BAD if kind is _BAD else _dataclass(value, known[kind], place, problems)


def _sequence(value: Any, kind: Any, place: str, problems: list[str]) -> Any:
    origin, kinds = get_origin(kind), get_args(kind)
    if not isinstance(value, list | tuple):
        return _mistyped(value, _named(kind), place, problems)
    if origin is list or (len(kinds) == 2 and kinds[1] is Ellipsis):
        kinds = (kinds[0],) * len(value)
    elif len(kinds) != len(value):
        problems.append(f"{place} has {len(value)} entries; write {len(kinds)}")
        return _BAD
    items = [
        _convert(item, kind, f"{place}[{index}]", problems)
        for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    ]
    return origin(items)


def _mapping(value: Any, kind: Any, place: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _mistyped(value, "a section of keys and values", place, problems)
    key_kind, item_kind = get_args(kind)
    return {
        _convert(key, key_kind, f"{place}, key {key!r}", problems): _convert(
            item, item_kind, f"{place}.{key}", problems
        )
        for key, item in value.items()
    }


def _scalar(value: Any, kind: Any, place: str, problems: list[str]) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
        return _mistyped(value, "a finite number", place, problems)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if type(value) is kind:
        return value
    return _mistyped(value, _named(kind), place, problems)


def _mistyped(value: Any, expected: str, place: str, problems: list[str]) -> Any:
    problems.append(f"{place} is {_kind(value)}; write {expected}{_number_hint(value)}")
    return _BAD


def _number_hint(value: Any) -> str:
    """YAML 1.1 reads 1e-3 as text, because it wants a point and a sign: say how to write it."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f", as {number:.12f}".rstrip("0").rstrip(".") if math.isfinite(number) else ""


def _hint(name: Any, known: Any) -> str:
    near = difflib.get_close_matches(str(name), list(map(str, known)), n=1, cutoff=0.7)
    return f". Did you mean {near[0]!r}?" if near else ""


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else f"the list {value!r}"
    return f"the {'text' if isinstance(value, str) else type(value).__name__} {value!r}"


def _named(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    return names.get(kind) or (kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", ""))
