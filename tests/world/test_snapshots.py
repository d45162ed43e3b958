"""Blocks of single steps on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxsds.world.snapshots import packed, read_blocks, read_worlds


@given(arrays(np.int64, st.tuples(*[st.integers(1, 4)] * 3), elements=st.integers(0, 40_000)))
def test_what_was_packed_is_read_and_equal_blocks_give_equal_bytes(tmp_path_factory, blocks):
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "step_0010.npz").write_bytes(packed(blocks))
    np.testing.assert_array_equal(read_worlds(folder)[10], blocks)
    assert packed(blocks) == packed(blocks.copy(order="F"))


def test_worlds_come_in_the_order_of_their_steps(tmp_path):
    for step in (10_000, 0, 50):
        (tmp_path / f"step_{step:04d}.npz").write_bytes(packed(np.full((1, 1, 1), step % 7)))
    assert list(read_worlds(tmp_path)) == [0, 50, 10_000]


def test_no_files_and_broken_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no step_\*\.npz; run the stage train again"):
        read_worlds(tmp_path)
    whole = packed(np.ones((9, 9, 9), dtype=np.int64))
    for broken in (b"", b"not a zip", whole[: len(whole) // 2]):
        (tmp_path / "step_0000.npz").write_bytes(broken)
        with pytest.raises(ValueError, match="step_0000.npz: holds no blocks"):
            read_worlds(tmp_path)


def test_a_broken_file_names_the_stage_that_writes_it(tmp_path):
    path = tmp_path / "untidied.npz"
    with pytest.raises(ValueError, match="untidied.npz: holds no blocks .*; run the stage export again"):
        read_blocks(path, "export")
    path.write_bytes(packed(np.eye(3, dtype=np.int64)[None]))
    np.testing.assert_array_equal(read_blocks(path, "export")[0], np.eye(3))
