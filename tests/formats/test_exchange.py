"""Worlds out and in again, block for block, and read by programs that know nothing of this one."""

import shutil
from pathlib import Path

import litemapy
import mcschematic
import nbtlib
import numpy as np
import pytest
from midvoxio.parser import Parser
from schempy.schematic import Schematic

from teacher.worlds.materials import ENGINE, SNOW, STONE, WATER
from teacher.worlds.world import generate
from voxsds.captions.styles import TEACHER
from voxsds.formats import structure
from voxsds.formats.build import Box
from voxsds.formats.exchange import export_world, import_world
from voxsds.formats.mapping import read_mapping
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR

MAPPING = read_mapping(ENGINE)
STATES = [MAPPING.state_of(ENGINE, i)[0] for i in range(len(ENGINE))]
NAMES = [state.partition("[")[0] for state in STATES]
BUILDS = Path(__file__).parents[1] / "data" / "builds"
FORMATS = [("a.schem", 2), ("a.schem", 3), ("a.litematic", 2), ("a.nbt", 2), ("a.vox", 2), ("a.json", 2)]


def world_of(blocks: np.ndarray) -> BlockMap:
    return BlockMap(blocks.astype(np.int64), ENGINE, Frame((blocks.shape[0] / 2, blocks.shape[2] / 2)), {})


@pytest.fixture(scope="module")
def thousand() -> list[BlockMap]:
    return [world_of(generate(seed, TEACHER, (16, 12, 16)).blocks) for seed in range(1000)]


@pytest.fixture(scope="module")
def world() -> BlockMap:
    """No two axes alike, every material in it, and no symmetry."""
    blocks = np.random.default_rng(3).integers(0, 8, (5, 7, 9))
    blocks[0, 0, 0], blocks[4, 6, 8], blocks[1, 2, 3] = STONE, SNOW, AIR
    return world_of(blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.schem", "a.litematic", "a.nbt", "a.vox"])
def test_a_thousand_worlds_come_back_block_for_block(
    name: str, thousand: list[BlockMap], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxsds.files.disk._sync", lambda path: None)  # a slow disk is not what is tested
    for seed, made in enumerate(thousand):
        export_world(tmp_path / name, made, MAPPING, sponge_version=2 + seed % 2, replace=True)
        back = import_world(tmp_path / name, MAPPING)
        assert np.array_equal(back.world.blocks, made.blocks), seed
        assert back.world.frame == made.frame
        assert back.notes == ()


def test_exports_of_equal_worlds_are_equal(world: BlockMap, tmp_path: Path) -> None:
    for name, version in [*FORMATS, ("a.glb", 2)]:
        for folder in "pq":
            export_world(tmp_path / folder / name, world, MAPPING, version, replace=True)
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "q" / name).read_bytes()


def test_litemapy_reads_our_litematic(world: BlockMap, tmp_path: Path) -> None:
    export_world(tmp_path / "a.litematic", world, MAPPING)
    schematic = litemapy.Schematic.load(str(tmp_path / "a.litematic"))
    (region,) = schematic.regions.values()
    assert (region.width, region.height, region.length) == world.blocks.shape
    for at in np.ndindex(*world.blocks.shape):
        assert region[at].id == NAMES[world.blocks[at]], at
    assert region[0, 0, 0].id == "minecraft:stone"


def test_litemapy_reads_our_sponge_schematic(world: BlockMap, tmp_path: Path) -> None:
    export_world(tmp_path / "a.schem", world, MAPPING)
    region, _ = litemapy.Region.from_sponge_nbt(nbtlib.load(str(tmp_path / "a.schem")))
    for at in np.ndindex(*world.blocks.shape):
        assert region[at].id == NAMES[world.blocks[at]], at


def test_mcschematic_reads_our_sponge_schematic(world: BlockMap, tmp_path: Path) -> None:
    export_world(tmp_path / "a.schem", world, MAPPING)
    schematic = mcschematic.MCSchematic(str(tmp_path / "a.schem"))
    for x, y, z in np.ndindex(*world.blocks.shape):
        assert schematic.getBlockStateAt((x, y, z)) == STATES[world.blocks[x, y, z]]


@pytest.mark.parametrize("version", [2, 3])
def test_schempy_reads_both_versions_of_our_sponge_schematic(
    version: int, world: BlockMap, tmp_path: Path
) -> None:
    export_world(tmp_path / "a.schem", world, MAPPING, sponge_version=version)
    schematic = Schematic.from_file(tmp_path / "a.schem")
    assert (schematic.width, schematic.height, schematic.length) == world.blocks.shape
    for at in np.ndindex(*world.blocks.shape):
        assert str(schematic.get_block(*at)) == STATES[world.blocks[at]], at


def test_version_3_is_laid_out_as_its_specification_says(world: BlockMap, tmp_path: Path) -> None:
    """nbtlib opens it, and the rest is the specification by hand."""
    export_world(tmp_path / "a.schem", world, MAPPING, sponge_version=3)
    file = nbtlib.load(str(tmp_path / "a.schem"))
    root, (width, height, length) = file["Schematic"], world.blocks.shape
    assert file.root_name == "" and root["Version"] == 3 and root["DataVersion"] > 1451
    assert (root["Width"], root["Height"], root["Length"]) == (width, height, length)
    states = {int(index): state for state, index in root["Blocks"]["Palette"].items()}
    for x, y, z in np.ndindex(*world.blocks.shape):
        index = root["Blocks"]["Data"][x + z * width + y * width * length]  # fewer than 128: a byte each
        assert states[int(index)] == STATES[world.blocks[x, y, z]]


def test_litemapy_reads_our_structures(world: BlockMap, tmp_path: Path) -> None:
    export_world(tmp_path / "a.nbt", world, MAPPING)
    region, _ = litemapy.Region.from_structure_nbt(nbtlib.load(str(tmp_path / "a.nbt")))
    for at in np.ndindex(*world.blocks.shape):
        assert region[at].id == NAMES[world.blocks[at]], at


def test_large_structures_become_pieces_that_name_their_place(tmp_path: Path) -> None:
    blocks = np.zeros((50, 3, 97), np.int64)
    blocks[49, 1, 96], blocks[2, 2, 2], blocks[:, 0] = WATER, SNOW, STONE
    exported = export_world(tmp_path / "castle.nbt", world_of(blocks), MAPPING)
    assert {file.name for file in exported.files} == {
        f"castle.{x}.0.{z}.nbt" for x in (0, 48) for z in (0, 48, 96)
    }
    last = nbtlib.load(str(tmp_path / "castle.48.0.96.nbt"))
    assert [int(side) for side in last["size"]] == [2, 3, 1]
    at = {tuple(map(int, b["pos"])): int(b["state"]) for b in last["blocks"]}
    assert last["palette"][at[1, 1, 0]]["Name"] == "minecraft:water"
    back = import_world(tmp_path / "castle.0.0.48.nbt", MAPPING)  # any piece stands for the whole
    assert np.array_equal(back.world.blocks, blocks)
    assert "6 pieces" in back.notes[0]


def long_world(width: int) -> BlockMap:
    return world_of(np.full((width, 2, 2), STONE))


def test_pieces_of_an_earlier_larger_export_do_not_stay(tmp_path: Path) -> None:
    for width in (97, 50):
        export_world(tmp_path / "a.nbt", long_world(width), MAPPING, replace=True)
    assert set(structure.pieces_beside(tmp_path, "a").values()) == {(0, 0, 0), (48, 0, 0)}


def test_files_that_are_only_called_like_pieces_are_left_alone(tmp_path: Path) -> None:
    """castle.1.20.1.nbt is a build for Minecraft 1.20.1, and castle.48.0.0.nbt somebody's too."""
    others = [tmp_path / name for name in ("castle.1.20.1.nbt", "castle.48.0.0.nbt", "castle2.0.0.0.nbt")]
    export_world(tmp_path / "theirs.nbt", long_world(3), MAPPING)
    for other in others:
        shutil.copy(tmp_path / "theirs.nbt", other)
    before = [other.read_bytes() for other in others]
    with pytest.raises(ValueError, match=r"castle\.48\.0\.0\.nbt is there already"):
        export_world(tmp_path / "castle.nbt", long_world(97), MAPPING)
    export_world(tmp_path / "castle.nbt", long_world(40), MAPPING)
    assert [other.read_bytes() for other in others] == before
    assert import_world(others[0], MAPPING).world.blocks.shape == (3, 2, 2)


@pytest.mark.parametrize("name", ["a.schem", "a.litematic", "a.nbt", "a.vox", "a.glb", "a.json"])
def test_an_existing_file_is_replaced_only_when_asked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"theirs")
    with pytest.raises(ValueError, match="is there already; choose another name, or replace it with --force"):
        export_world(tmp_path / name, long_world(3), MAPPING)
    assert (tmp_path / name).read_bytes() == b"theirs"
    export_world(tmp_path / name, long_world(3), MAPPING, replace=True)
    assert (tmp_path / name).read_bytes() != b"theirs"


@pytest.mark.parametrize("shape", [(5, 7, 9), (300, 4, 20)])
def test_midvoxio_reads_our_vox(shape: tuple[int, int, int], tmp_path: Path) -> None:
    blocks = np.random.default_rng(4).integers(0, 8, shape)
    export_world(tmp_path / "a.vox", world_of(blocks), MAPPING)
    scene = Parser(tmp_path / "a.vox").parse()
    seen = np.zeros((shape[0], shape[2], shape[1]), np.int64)
    moves = scene._get_transform() or [(np.array(scene.sizes[0]) // 2, 0)]
    for shift, model in moves:
        corner = np.array(shift) - np.array(scene.sizes[model]) // 2
        for *at, color in scene.voxels[model]:
            seen[tuple(np.add(corner, at))] = color
    assert len(moves) == (1 if max(shape) <= 256 else 2)
    assert np.array_equal(seen.transpose(0, 2, 1)[:, :, ::-1], blocks)  # material i has colour i
    top = np.round(255 * ENGINE.albedo[WATER, 0])
    assert tuple(scene.palettes[0][WATER - 1])[:3] == tuple(top)


@pytest.mark.parametrize(("name", "shape", "blocks", "left_out"), [
    ("green-cottage.schem", (17, 12, 12), 615, "1 block entities"),
    ("mansion.litematic", (39, 41, 40), 7695, "13 entities"),
])  # fmt: skip
def test_builds_of_other_people_are_read(name: str, shape: tuple, blocks: int, left_out: str) -> None:
    found = import_world(BUILDS / name, MAPPING)
    assert found.world.blocks.shape == shape
    assert sum(match.count for match in found.matches) == found.world.blocks.size  # nothing is dropped
    solid = sum(match.count for match in found.matches if match.became != "Air")
    assert solid == (found.world.blocks != AIR).sum() == blocks
    assert any(left_out in note for note in found.notes)


def test_litemapy_and_we_see_the_same_mansion() -> None:
    region = next(iter(litemapy.Schematic.load(str(BUILDS / "mansion.litematic")).regions.values()))
    found = import_world(BUILDS / "mansion.litematic", MAPPING).world
    planks = ENGINE.index("Plank")
    for x, y, z in region.block_positions():
        at = x - min(region.range_x()), y - min(region.range_y()), z - min(region.range_z())
        if region[x, y, z].id == "minecraft:spruce_planks":
            assert found.blocks[at] == planks
        if region[x, y, z].id == "minecraft:air":
            assert found.blocks[at] == AIR


def test_crop_and_pad(world: BlockMap, tmp_path: Path) -> None:
    for name in ("a.vox", "a.json"):
        export_world(tmp_path / name, world, MAPPING)
        found = import_world(tmp_path / name, MAPPING, Box((1, 2, 3), (4, 7, 8)), pad=2).world
        assert found.blocks.shape == (3 + 4, 5 + 2, 5 + 4)
        assert np.array_equal(found.blocks[2:5, :5, 2:7], world.blocks[1:4, 2:7, 3:8])
        assert found.frame.center == (3.5, 4.5)
        with pytest.raises(
            ValueError, match=r"crop from \(0, 0, 0\) to \(6, 1, 1\) is not inside.*5 x 7 x 9"
        ):
            import_world(tmp_path / name, MAPPING, Box((0, 0, 0), (6, 1, 1)))


def test_a_build_over_the_limits_loses_its_air_or_is_refused_with_a_crop(tmp_path: Path) -> None:
    blocks = np.zeros((600, 1, 3), np.int64)
    blocks[80:90] = STONE
    export_world(tmp_path / "a.schem", world_of(blocks), MAPPING)
    found = import_world(tmp_path / "a.schem", MAPPING)
    assert found.world.blocks.shape == (10, 1, 3)
    assert found.notes == ("trimmed the air around the blocks: kept 80,0,0 to 90,1,3 of 600 x 1 x 3",)
    blocks[:] = STONE
    export_world(tmp_path / "a.schem", world_of(blocks), MAPPING, replace=True)
    with pytest.raises(ValueError, match=r"600 x 1 x 3 = 1,800 blocks; up to 512.*--crop 0,0,0,256,1,3"):
        import_world(tmp_path / "a.schem", MAPPING)
    assert import_world(tmp_path / "a.schem", MAPPING, Box((0, 0, 0), (256, 1, 3))).world.blocks.all()


def test_a_build_of_air_alone_is_refused(tmp_path: Path) -> None:
    export_world(tmp_path / "a.schem", world_of(np.zeros((2, 2, 2))), MAPPING)
    with pytest.raises(ValueError, match="no block of it is left, all count as air"):
        import_world(tmp_path / "a.schem", MAPPING)
    with pytest.raises(ValueError, match="the world has no block"):
        export_world(tmp_path / "a.glb", world_of(np.zeros((2, 2, 2))), MAPPING)


def test_custom_blocks_leave_as_the_nearest_and_stay_in_our_own_format(tmp_path: Path) -> None:
    palette = ENGINE.extended(("Lapis",), np.full((1, 3, 3), (0.2, 0.35, 0.7)))
    custom = {
        "customBlocks": [
            {"name": "Lapis", "colors": dict.fromkeys(("top", "bottom", "side"), [0.2, 0.35, 0.7])}
        ]
    }
    world = BlockMap(np.full((2, 2, 2), len(palette) - 1), palette, Frame((1.0, 1.0), 1.5), custom)
    exported = export_world(tmp_path / "a.schem", world, MAPPING)
    assert exported.matches == (("Lapis", 8, STATES[WATER], "colour"),)
    export_world(tmp_path / "a.json", world, MAPPING)
    padded = import_world(tmp_path / "a.json", MAPPING, pad=1).world
    assert padded.palette.names[-1] == "Lapis"
    assert padded.frame == Frame((2.0, 2.0), 1.5) and "customBlocks" in padded.extra


@pytest.mark.parametrize(("name", "message"), [
    ("a.schematic", "before Minecraft 1.13"), ("a.obj", "builds are read from .schem, .litematic"),
])  # fmt: skip
def test_other_formats_are_refused_with_those_that_are_read(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        import_world(tmp_path / name, MAPPING)


def test_other_formats_are_not_written(world: BlockMap, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"worlds are written as \.schem, .*\.glb"):
        export_world(tmp_path / "a.obj", world, MAPPING)
    with pytest.raises(ValueError, match="version 1 is not known"):
        export_world(tmp_path / "a.schem", world, MAPPING, sponge_version=1)
