"""NBT: what is written comes back, nbtlib reads the same, and strange files end in an error."""

import io
from pathlib import Path
from typing import Any

import nbtlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxsds.formats import nbt
from voxsds.formats.nbt import field, read_nbt
from voxsds.formats.nbtwriter import write_nbt

NUMBERS = st.sampled_from([np.int8, np.int16, np.int32, np.int64]).flatmap(
    lambda kind: st.integers(np.iinfo(kind).min, np.iinfo(kind).max).map(kind)
) | st.floats(width=32, allow_nan=False).map(np.float32)
ARRAYS = st.sampled_from([np.int8, np.int32, np.int64]).flatmap(lambda kind: arrays(kind, st.integers(0, 4)))
TEXTS = st.text(max_size=8)
TREES = st.dictionaries(
    TEXTS,
    st.recursive(
        NUMBERS | ARRAYS | TEXTS | st.lists(st.integers(-9, 9).map(np.int32), max_size=3),
        lambda inner: (
            st.dictionaries(TEXTS, inner, max_size=3)
            | st.lists(st.dictionaries(TEXTS, inner, max_size=2), max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type of tag."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


@settings(max_examples=150)
@given(tree=TREES)
def test_what_is_written_is_read_again(tree: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("nbt") / "a.nbt"
    write_nbt(path, tree)
    assert same(read_nbt(path), tree)


@pytest.mark.parametrize("text", ["", "plain", "wörld", "a\0b", "\U0001f3f0 castle"])
def test_text_is_spelled_as_java_does(text: str, tmp_path: Path) -> None:
    """nbtlib knows plain UTF-8 only, so characters that Java spells otherwise are compared as bytes."""
    write_nbt(tmp_path / "a.nbt", {"text": text})
    assert read_nbt(tmp_path / "a.nbt")["text"] == text
    spelled = {"a\0b": b"a\xc0\x80b", "\U0001f3f0 castle": b"\xed\xa0\xbc\xed\xbf\xb0 castle"}
    assert spelled.get(text, text.encode()) in nbt.unpacked(tmp_path / "a.nbt")


def test_nbtlib_reads_the_same(tmp_path: Path) -> None:
    rows = np.zeros(5, [("pos", np.int32, (3,)), ("state", np.int32)])
    rows["pos"][:, 1], rows["state"] = range(5), range(10, 15)
    tree = {"byte": np.int8(-3), "long": np.int64(2**40), "half": np.float64(0.5), "rows": rows,
            "list": [{"Name": "a"}, {}], "none": [], "bytes": np.arange(-2, 3, dtype=np.int8)}  # fmt: skip
    write_nbt(tmp_path / "a.nbt", tree, name="root")
    found = nbtlib.load(str(tmp_path / "a.nbt"))
    assert found.root_name == "root"
    assert (found["byte"], found["long"], found["half"]) == (-3, 2**40, 0.5)
    assert isinstance(found["byte"], nbtlib.Byte) and isinstance(found["long"], nbtlib.Long)
    assert [int(row["state"]) for row in found["rows"]] == [10, 11, 12, 13, 14]
    assert [int(row["pos"][1]) for row in found["rows"]] == [0, 1, 2, 3, 4]
    assert found["list"][0]["Name"] == "a" and list(found["none"]) == []
    assert list(found["bytes"]) == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("packing", ["plain", "gzip", "zlib"])
def test_all_packings_are_read(packing: str, tmp_path: Path) -> None:
    import gzip
    import zlib

    stream = io.BytesIO()
    nbtlib.File({"Height": nbtlib.Short(7)}).write(stream)
    pack = {"plain": bytes, "gzip": gzip.compress, "zlib": zlib.compress}[packing]
    (tmp_path / "a.nbt").write_bytes(pack(stream.getvalue()))
    assert read_nbt(tmp_path / "a.nbt") == {"Height": 7}


def test_equal_trees_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_nbt(tmp_path / name, {"Width": np.int16(3), "list": [np.int32(1)]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_tag_is_not_written(tmp_path: Path) -> None:
    for value in (3, [np.int32(1), "two"], None):
        with pytest.raises(TypeError, match="NBT"):
            write_nbt(tmp_path / "a.nbt", {"value": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [("absent", int, "absent is missing, a whole number"), ("text", int, "text is a text, a whole number"),
     ("half", int, "half is another kind of tag"), ("text", dict, "text is a text, a compound is needed")],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_named(key: str, kind: type, message: str) -> None:
    with pytest.raises(ValueError, match=f"a.schem: {message}"):
        field({"text": "a", "half": np.float32(0.5)}, key, kind, "a.schem")
