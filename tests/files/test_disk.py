"""Files are whole or not there."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.files.disk import (
    atomic_path,
    read_image,
    read_json,
    write_bytes,
    write_image,
    write_json,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_an_exception_while_writing_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="disk full"), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_between_writing_and_renaming_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "file.bin"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"all")
        assert not path.exists()
        assert temporary.suffix == path.suffix  # writers that go by the suffix find it
    assert path.read_bytes() == b"all"


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    cached, path = tmp_path / "cached", tmp_path / "file"
    cached.write_bytes(b"old")
    path.symlink_to(cached)
    write_bytes(path, b"new")
    assert (cached.read_bytes(), path.read_bytes()) == (b"old", b"new")


def test_text_has_the_same_line_ends_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "ü\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc\nb\n"


@settings(max_examples=30, deadline=None)
@given(value=JSON, indent=st.sampled_from([None, 1]))
def test_json_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: Any, indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value, indent)
    assert read_json(path) == value


def test_numpy_values_are_written_as_plain_ones(tmp_path: Path) -> None:
    value = {"a": np.float32(0.5), "b": np.int64(3), "c": np.array([[1, 2]]), "d": np.bool_(True)}
    write_json(tmp_path / "a.json", value, indent=None)
    assert (tmp_path / "a.json").read_text() == '{"a":0.5,"b":3,"c":[[1,2]],"d":true}\n'


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"losses": [0.0, {"sds": float("nan")}]}, r"losses\[1\].sds"),
        ({"norms": np.array([1.0, np.inf])}, r"norms\[1\]"),
        (float("-inf"), "the root"),
        ({"share": np.float32("nan")}, "share"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_and_placed(value: Any, place: str, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match=f"a.json: the value of {place} is not a finite number.*null"):
        write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_what_is_not_json_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"set is not JSON: \{1\}; convert it"):
        write_json(tmp_path / "a.json", {"a": {1}})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1,}', "not JSON at line 1, column "),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8; save the file as UTF-8"),
        (b'{"a": 1, "a": 1}', "the key 'a' stands twice in one object; remove one"),
        (b"[NaN]", "holds NaN, which is not a JSON number; replace it"),
        (b"[1e400]", "holds 1e400, which is too large"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
)
def test_broken_json_is_refused_with_place_and_remedy(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=f"a.json: .*{message}"):
        read_json(tmp_path / "a.json")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_colours_are_stored_linearly_and_rounded(tmp_path: Path) -> None:
    image = np.array([[[0.0, 0.5, 1.0], [0.1, 1.5, -0.5]]])
    write_image(tmp_path / "a.png", image)
    stored = np.round(255 * read_image(tmp_path / "a.png")).astype(int)
    assert stored.tolist() == [[[0, 128, 255], [26, 255, 0]]]
    write_image(tmp_path / "b.png", stored.astype(np.uint8))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_image_with_nan_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a.png: 1 values of the image are not finite; mend"):
        write_image(tmp_path / "a.png", np.array([[[0.0, np.nan, 1.0]]]))
    assert not list(tmp_path.iterdir())


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="a.png: cannot be read as an image .*expected a PNG or JPEG"):
        read_image(tmp_path / "a.png")
