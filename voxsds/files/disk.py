"""Files that are either whole or not there: every writer of the project goes through `atomic_path`."""

import json
import math
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float, Shaped
from PIL import Image


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A path to write to, beside `path` and of the same suffix, that takes its place on leaving.

    An exception inside the block removes what was written and leaves the old file as it was. A link
    at `path` (DVC makes them into its cache) is replaced, never written through.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def refuse_to_replace(files: Iterable[Path], replace: bool) -> None:
    """ValueError that names the first of `files` that is there, unless they may be replaced."""
    there = next((file for file in files if file.exists()), None)
    if there is not None and not replace:
        raise ValueError(f"{there} is there already; choose another name, or replace it with --force")


def _sync(path: Path) -> None:
    """Wait until the file or folder is on the disk: a rename may otherwise overtake the contents."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path | str, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """UTF-8 with `\\n` line ends on every system."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, obj: Any, indent: int | None = 1) -> None:
    """JSON of `obj`; numpy scalars and arrays are accepted, `indent=None` gives the compact form.

    A number that is not finite has no place in JSON: ValueError, and nothing is written.
    """
    write_text(path, to_json(obj, indent, where=str(path)) + "\n")


def to_json(obj: Any, indent: int | None = 1, where: str = "JSON") -> str:
    """Text that `write_json` writes, without the last line end."""
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(
            obj, indent=indent, separators=separators, allow_nan=False, ensure_ascii=False, default=_plain
        )
    except ValueError as error:
        place = next(_nonfinite(obj), None)
        if place is None:
            raise
        raise ValueError(
            f"{where}: the value of {place} is not a finite number, which JSON cannot hold; "
            "mend what computed it, or write null"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(
        f"{type(value).__name__} is not JSON: {value!r}; convert it to numbers, text, lists or dicts"
    )


def _nonfinite(obj: Any, place: str = "") -> Iterator[str]:
    """Places of the numbers that are not finite, in nested dicts, lists and arrays."""
    obj = obj.tolist() if isinstance(obj, np.generic | np.ndarray) else obj
    if isinstance(obj, float) and not math.isfinite(obj):
        yield place or "the root"
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from _nonfinite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(obj, list | tuple):
        for index, value in enumerate(obj):
            yield from _nonfinite(value, f"{place}[{index}]")


def write_image(path: Path | str, image: Shaped[np.ndarray, "height width 3"]) -> None:
    """PNG of RGB values: uint8, or floats 0..1 stored as round(255 c) without a transfer curve."""
    pixels = image if image.dtype == np.uint8 else _quantised(image, path)
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG", optimize=True)


def _quantised(image: np.ndarray, path: Path | str) -> np.ndarray:
    if not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise ValueError(f"{path}: {count} values of the image are not finite; mend what computed them")
    return np.round(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def read_image(path: Path | str) -> Float[np.ndarray, "height width 3"]:
    """RGB values 0..1 of an image file, the inverse of `write_image` up to 1/510."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as an image ({error}); expected a PNG or JPEG") from error


def read_json(path: Path | str) -> Any:
    """The contents of a JSON file, strictly: no NaN or infinity, no key twice in one object.

    FileNotFoundError where there is none, ValueError where it is not JSON, each naming the file.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: there is no such file; check the path it was asked for by"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 JSON") from error
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: not JSON at line {error.lineno}, column {error.colno} ({error.msg}); "
            "is the file cut off or edited by hand? Export it again"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply to be one of our files; export it again") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is not a JSON number; replace it by a finite number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"holds {digits}, which is too large for a number; replace it by a finite number")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object; remove one of them")
    return obj


def read_yaml(path: Path | str) -> Any:
    """The contents of a YAML file; FileNotFoundError where there is none, ValueError where it is not YAML."""
    path = Path(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; check the path") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())}); mend that line") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key that stands twice in one mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                line = key_node.start_mark.line + 1
                raise ValueError(f"the key {key!r} stands twice (again in line {line}); remove one of them")
            seen.add(key if isinstance(key, str) else repr(key))
        return super().construct_mapping(node, deep)
