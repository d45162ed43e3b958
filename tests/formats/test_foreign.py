"""Files that other programs wrote, with what ours lack: many kinds, several regions, negative sizes."""

from pathlib import Path

import litemapy
import mcschematic
import nbtlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxsds.formats import litematic, sponge, structure
from voxsds.formats.litematic import bits_for, pack_indices, unpack_indices
from voxsds.formats.sponge import pack_numbers, unpack_numbers

AIR = litemapy.BlockState("minecraft:air")


def name_at(build, at: tuple[int, int, int]) -> str:
    return build.kinds[build.cells[at]].name


def kind(number: int) -> str:
    """One of many block states."""
    return f"minecraft:note_block[note={number}]"


def test_a_palette_of_300_kinds_needs_two_bytes_and_is_read(tmp_path: Path) -> None:
    schematic = mcschematic.MCSchematic()
    for i in range(300):
        schematic.setBlock((i % 10, i // 100, i // 10 % 10), kind(i))
    schematic.save(str(tmp_path), "many", mcschematic.Version.JE_1_18_2)
    build = sponge.read(tmp_path / "many.schem")
    assert build.cells.shape == (10, 3, 10)
    for i in range(300):
        assert name_at(build, (i % 10, i // 100, i // 10 % 10)) == kind(i)


def test_regions_of_negative_size_lie_where_litemapy_put_them(tmp_path: Path) -> None:
    """A region of size -3 from x = 5 fills x = 3, 4, 5; the grid begins at the lowest corner of all."""
    first, second = litemapy.Region(5, 0, 0, -3, 2, 4), litemapy.Region(0, 10, 1, 2, 2, 2)
    first[-2, 0, 0] = litemapy.BlockState("minecraft:stone")
    first[0, 1, 3] = litemapy.BlockState("minecraft:oak_log", axis="y")
    second[1, 1, 1] = litemapy.BlockState("minecraft:sand")
    schematic = litemapy.Schematic(name="two", author="us", regions={"first": first, "second": second})
    schematic.save(str(tmp_path / "two.litematic"))
    build = litematic.read(tmp_path / "two.litematic")
    assert build.cells.shape == (6, 12, 4)
    assert name_at(build, (3, 0, 0)) == "minecraft:stone"
    assert name_at(build, (5, 1, 3)) == "minecraft:oak_log[axis=y]"
    assert name_at(build, (1, 11, 2)) == "minecraft:sand"
    assert (build.cells != 0).sum() == 3


def test_air_of_one_region_does_not_cover_the_blocks_of_another(tmp_path: Path) -> None:
    solid, empty = litemapy.Region(0, 0, 0, 2, 2, 2), litemapy.Region(0, 0, 0, 2, 2, 2)
    solid[1, 1, 1] = litemapy.BlockState("minecraft:stone")
    empty[0, 0, 0] = litemapy.BlockState("minecraft:dirt")
    regions = {"solid": solid, "wide": empty}
    litemapy.Schematic(name="two", author="us", regions=regions).save(str(tmp_path / "a.litematic"))
    build = litematic.read(tmp_path / "a.litematic")
    assert {name_at(build, (1, 1, 1)), name_at(build, (0, 0, 0))} == {"minecraft:stone", "minecraft:dirt"}


@pytest.mark.parametrize("kinds", [1, 4, 5, 17, 70])
def test_litemapy_packs_indices_as_we_unpack_them(kinds: int, tmp_path: Path) -> None:
    region = litemapy.Region(0, 0, 0, 7, 5, 3)
    states = [litemapy.BlockState("minecraft:note_block", note=str(i)) for i in range(kinds)]
    for i, at in enumerate(region.block_positions()):
        region[at] = states[i % kinds]
    litemapy.Schematic(name="a", author="us", regions={"a": region}).save(str(tmp_path / "a.litematic"))
    build = litematic.read(tmp_path / "a.litematic")
    for i, at in enumerate(region.block_positions()):
        assert name_at(build, at) == kind(i % kinds)


def test_a_structure_with_a_chest_and_gaps_is_read(tmp_path: Path) -> None:
    """Blocks with more than a state and a place, and places that no block is listed for."""
    block, ints = nbtlib.schema("Block", {}), nbtlib.List[nbtlib.Int]
    listed = [block({"pos": ints([i, 0, 0]), "state": nbtlib.Int(i % 2)}) for i in range(100)]
    listed[7]["nbt"] = nbtlib.Compound({"id": nbtlib.String("minecraft:chest")})
    names = [
        nbtlib.Compound({"Name": nbtlib.String(name)}) for name in ("minecraft:stone", "minecraft:chest")
    ]
    compounds = nbtlib.List[nbtlib.Compound]
    root = {"DataVersion": nbtlib.Int(2586), "size": ints([100, 2, 1]), "entities": nbtlib.List([]),
            "palette": compounds(names), "blocks": compounds(listed)}  # fmt: skip
    nbtlib.File(root).save(str(tmp_path / "a.nbt"), gzipped=True)
    build = structure.read(tmp_path / "a.nbt")
    assert [name_at(build, (i, 0, 0)) for i in (6, 7)] == ["minecraft:stone", "minecraft:chest"]
    assert name_at(build, (0, 1, 0)) == structure.VOID.name
    assert build.notes == ("1 block entities (contents of chests, texts of signs, ...)",)


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=200))
def test_numbers_of_variable_length_come_back(numbers: list[int]) -> None:
    packed = pack_numbers(np.array(numbers))
    np.testing.assert_array_equal(unpack_numbers(packed, len(numbers), "a"), numbers)


def test_numbers_longer_than_a_chunk_come_back() -> None:
    numbers = np.tile([3, 300, 70, 65535], 3 * 2**20)
    np.testing.assert_array_equal(unpack_numbers(pack_numbers(numbers), len(numbers), "a"), numbers)


def test_300_is_two_bytes() -> None:
    assert pack_numbers(np.array([300])).tolist() == [0xAC, 0x02]


@given(st.integers(1, 2**16).flatmap(
    lambda kinds: st.tuples(st.just(kinds), st.lists(st.integers(0, kinds - 1), min_size=1, max_size=150))
))  # fmt: skip
def test_packed_indices_come_back(case: tuple[int, list[int]]) -> None:
    kinds, indices = case
    bits = bits_for(kinds)
    packed = pack_indices(np.array(indices), bits)
    assert len(packed) == -(-len(indices) * bits // 64)
    np.testing.assert_array_equal(unpack_indices(packed, bits, len(indices), "a"), indices)


def test_indices_longer_than_a_chunk_come_back() -> None:
    indices = np.random.default_rng(0).integers(0, 31, 2**18 * 2 + 77)
    np.testing.assert_array_equal(unpack_indices(pack_indices(indices, 5), 5, len(indices), "a"), indices)
