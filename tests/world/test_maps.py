"""map.json: what is read is what was written, and what cannot be understood is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from teacher.worlds.materials import ENGINE, STONE, WATER
from voxsds.render.rays import ray_bundle
from voxsds.world.cameras import Frame, look_at
from voxsds.world.maps import EMPTY_SHAPE, BlockMap, read_map, with_blocks, write_map

BRICK = {
    "id": "brick-1",
    "name": "Brick",
    "colors": {"top": [0.7, 0.3, 0.2], "bottom": [0.6, 0.3, 0.2], "side": [0.65, 0.3, 0.2]},
}


def sound_map() -> dict[str, Any]:
    return {
        "sequence": 4,
        "blocks": [
            {"position": [0, 0, 0], "blockType": "Stone"},
            {"position": [3, 4, 5], "blockType": "Grass"},
        ],
        "worldConfig": {"dimensions": {"x": 8, "y": 6, "z": 10}, "worldScale": 1.5},
    }


def written(folder: Path, raw: Any) -> Path:
    path = folder / "map.json"
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
    return path


def changed(**keys: Any) -> Callable[[dict], Any]:
    return lambda raw: {**raw, **keys}


def without(key: str) -> Callable[[dict], Any]:
    return lambda raw: {k: v for k, v in raw.items() if k != key}


def block(index: int, **keys: Any) -> Callable[[dict], Any]:
    """A sound map in which some keys of a block are changed; None removes one."""

    def change(raw: dict) -> dict:
        entry = {**raw["blocks"][index], **keys}
        raw["blocks"][index] = {key: value for key, value in entry.items() if value is not None}
        return raw

    return change


def config(**keys: Any) -> Callable[[dict], Any]:
    return lambda raw: {**raw, "worldConfig": {**raw["worldConfig"], **keys}}


def brick(**keys: Any) -> Callable[[dict], Any]:
    return changed(customBlocks=[{**BRICK, **keys}])


def text(old: str, new: str) -> Callable[[dict], Any]:
    return lambda raw: json.dumps(raw).replace(old, new)


COLORS = BRICK["colors"]
# What is broken: how, the place that the error must name, and a piece of its remedy.
BROKEN: dict[str, tuple[Callable[[dict], Any], str, str]] = {
    "not JSON": (lambda raw: "blocks: []", "line 1, column 1", "Export it again"),
    "cut off": (lambda raw: json.dumps(raw)[:-9], "line 1", "cut off"),
    "empty file": (lambda raw: "", "line 1", "Export it again"),
    "NaN": (text("1.5", "NaN"), "holds NaN", "finite number"),
    "infinity": (text("1.5", "-Infinity"), "holds -Infinity", "finite number"),
    "overflow": (text("1.5", "1e999"), "holds 1e999", "finite number"),
    "key twice": (text('"sequence": 4', '"sequence": 4, "sequence": 5'), "'sequence'", "remove one"),
    "deep nesting": (lambda raw: "[" * 200_000, "nested", "export it again"),
    "a list": (lambda raw: [raw], "map.json is [", "must be an object"),
    "no blocks": (without("blocks"), "blocks is missing", '"blocks": [...]'),
    "blocks an object": (changed(blocks={}), "blocks is {}", "must be a list"),
    "block a number": (changed(blocks=[7]), "block 0 is 7", '"position": [x, y, z]'),
    "no position": (block(1, position=None), "block 1 has no position", "[x, y, z]"),
    "two coordinates": (block(1, position=[3, 4]), "block 1 has position [3, 4]", "three integers"),
    "text position": (block(1, position="3 4 5"), 'block 1 has position "3 4 5"', "three integers"),
    "half a block": (block(0, position=[0, 0.5, 0]), "block 0 has position [0, 0.5, 0]", "three integers"),
    "true as a coordinate": (block(0, position=[True, 0, 0]), "block 0 has position [true", "three integers"),
    "null as a coordinate": (block(0, position=[0, None, 0]), "[0, null, 0]", "three integers"),
    "negative": (block(1, position=[-1, 0, 0]), "block 1 at (-1, 0, 0) lies outside", "dimensions"),
    "over the edge": (block(1, position=[8, 0, 0]), "(0, 0, 0) to (7, 5, 9)", "enlarge"),
    "twice": (block(1, position=[0, 0, 0]), "block 1 at (0, 0, 0) is where block 0 is", "remove one"),
    "misspelt type": (block(1, blockType="Gras"), "block 1 at (3, 4, 5) has blockType 'Gras'", "'Grass'?"),
    "type in lower case": (block(1, blockType="stone"), "has blockType 'stone'", "Did you mean 'Stone'?"),
    "foreign type": (block(0, blockType="Obsidian"), "known types are Air, Grass", "customBlocks"),
    "no type": (block(0, blockType=None), "block 0 has no blockType", '"blockType": "Water"'),
    "type a number": (block(0, blockType=3), "block 0 at (0, 0, 0) has blockType 3", '"blockType": "Water"'),
    "type a list": (block(0, blockType=["Stone"]), 'has blockType ["Stone"]', "give a name"),
    "worldConfig null": (changed(worldConfig=None), "worldConfig is null", "must be an object"),
    "dimensions a list": (config(dimensions=[8, 6, 10]), "dimensions is [8, 6, 10]", "must be an object"),
    "no depth": (config(dimensions={"x": 8, "y": 6}), "dimensions.z is missing", "1 or more"),
    "no height": (config(dimensions={"x": 8, "y": 0, "z": 1}), "dimensions.y is 0", "1 or more"),
    "broken width": (config(dimensions={"x": 8.5, "y": 6, "z": 1}), "dimensions.x is 8.5", "integer"),
    "too long": (config(dimensions={"x": 513, "y": 6, "z": 10}), "(513, 6, 10) is too large", "512"),
    "too much": (config(dimensions={"x": 512, "y": 512, "z": 512}), "too large", "Cut the map into pieces"),
    "far away": (
        lambda raw: {"blocks": [{"position": [10**400, 0, 0], "blockType": "Snow"}]},
        "large",
        "Cut",
    ),
    "no scale": (config(worldScale=0), "worldConfig.worldScale is 0", "over 0"),
    "scale in words": (config(worldScale="2"), 'worldConfig.worldScale is "2"', "over 0"),
    "two scales": (changed(worldScale=2), "worldScale is 1.5 and worldScale is 2", "remove one"),
    "centre without z": (config(center={"x": 4}), "worldConfig.center.z is null", "coordinate in blocks"),
    "metadata in words": (changed(metadata="mine"), 'metadata is "mine"', "must be an object"),
    "custom blocks an object": (changed(customBlocks=BRICK), "customBlocks is {", "must be a list"),
    "custom block unnamed": (brick(name=None, id=7), "customBlocks[0] has neither", '"name": "Brick"'),
    "custom block twice": (changed(customBlocks=[BRICK, BRICK]), "customBlocks[1] is called", "another"),
    "custom stone": (brick(name="Stone"), "customBlocks[0] is called 'Stone'", "another name"),
    "no colours": (brick(colors=None), "customBlocks[0] 'Brick': colors is null", "must be an object"),
    "two numbers": (brick(colors={**COLORS, "top": [0, 1]}), "colors.top has 2 entries", "3 numbers"),
    "null colour": (brick(colors={**COLORS, "side": [0, 1, None]}), "colors.side[2] is null", "finite"),
    "bytes as colour": (brick(colors={**COLORS, "side": [90, 8, 1]}), "is [90, 8, 1]", "divided by 255"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_map_is_refused_with_place_and_remedy(case: str, tmp_path: Path) -> None:
    breaking, place, remedy = BROKEN[case]
    path = written(tmp_path, breaking(sound_map()))
    with pytest.raises(ValueError) as error:
        read_map(path, ENGINE)
    assert str(error.value).startswith(str(path))
    assert place in str(error.value)
    assert remedy in str(error.value)


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere/map.json: there is no such file; check the path"):
        read_map(tmp_path / "nowhere" / "map.json", ENGINE)


def test_a_sound_map_is_read_as_it_stands(tmp_path: Path) -> None:
    world = read_map(written(tmp_path, sound_map()), ENGINE)
    assert world.blocks.shape == (8, 6, 10)
    assert world.blocks[0, 0, 0] == STONE
    assert ENGINE.names[world.blocks[3, 4, 5]] == "Grass"
    assert (world.blocks > 0).sum() == 2
    assert world.frame == Frame((4.0, 5.0), 1.5)


def test_air_is_no_block(tmp_path: Path) -> None:
    world = read_map(written(tmp_path, block(1, blockType="Air")(sound_map())), ENGINE)
    assert (world.blocks > 0).sum() == 1


@pytest.mark.parametrize(
    ("raw", "scale"),
    [
        ({"blocks": []}, 2.0),
        ({"blocks": [], "worldScale": 3}, 3.0),
        ({"blocks": [], "worldScale": 3, "worldConfig": {"worldScale": 3.0}}, 3.0),
    ],
)
def test_an_empty_map_gets_the_usual_grid(raw: dict, scale: float, tmp_path: Path) -> None:
    world = read_map(written(tmp_path, raw), ENGINE)
    assert world.blocks.shape == EMPTY_SHAPE == (32, 24, 32)
    assert world.frame == Frame((16.0, 16.0), scale)


def test_a_map_without_dimensions_is_padded_by_a_tenth(tmp_path: Path) -> None:
    raw = {"blocks": [{"position": [19, 0, 9], "blockType": "Sand"}]}
    assert read_map(written(tmp_path, raw), ENGINE).blocks.shape == (22, 1, 11)


def test_padding_does_not_move_the_blocks_against_the_cameras(tmp_path: Path) -> None:
    """A block of a map with dimensions 20 x 1 x 10 is seen in the same pixel where it has none."""
    raw = {"blocks": [{"position": [19, 0, 9], "blockType": "Sand"}]}
    padded = read_map(written(tmp_path, raw), ENGINE)
    sized = read_map(
        written(tmp_path, {**raw, "worldConfig": {"dimensions": {"x": 20, "y": 1, "z": 10}}}), ENGINE
    )
    assert padded.blocks.shape != sized.blocks.shape
    camera = look_at(np.array([30.0, 20.0, 10.0]), np.zeros(3), 45.0, 16, 16)
    assert ray_bundle([camera], padded.frame).eye.equal(ray_bundle([camera], sized.frame).eye)
    write_map(tmp_path / "again.json", padded)
    again = read_map(tmp_path / "again.json", ENGINE)
    assert again.frame == sized.frame
    assert again.blocks.shape == padded.blocks.shape


def test_the_centre_is_written_only_where_it_is_not_the_middle(tmp_path: Path) -> None:
    blocks = np.zeros((4, 2, 6), dtype=np.int64)
    for centre in ((2.0, 3.0), (2.5, 3.0)):
        write_map(tmp_path / "map.json", BlockMap(blocks, ENGINE, Frame(centre), {}))
        raw = json.loads((tmp_path / "map.json").read_text())
        assert ("center" in raw["worldConfig"]) == (centre != (2.0, 3.0))
        assert read_map(tmp_path / "map.json", ENGINE).frame.center == centre


@pytest.mark.parametrize("spelling", ["Brick", "brick-1"])
def test_custom_blocks_extend_the_palette_and_keep_their_spelling(spelling: str, tmp_path: Path) -> None:
    raw = block(1, blockType=spelling)({**sound_map(), "customBlocks": [BRICK]})
    world = read_map(written(tmp_path, raw), ENGINE)
    kind = int(world.blocks[3, 4, 5])
    assert world.palette.names == (*ENGINE.names, spelling)
    assert kind == len(ENGINE)
    np.testing.assert_array_equal(world.palette.albedo[kind, 0], COLORS["top"])
    write_map(tmp_path / "out.json", world)
    assert json.loads((tmp_path / "out.json").read_text())["blocks"][1]["blockType"] == spelling


def test_unknown_keys_come_back_out(tmp_path: Path) -> None:
    raw = changed(captureId="c", lastUpdated="never", odd={"deep": [1, None, "ü"]})(sound_map())
    raw["worldConfig"]["gravity"] = 9.81
    raw["worldConfig"]["dimensions"]["w"] = 1
    raw["blocks"][1]["facing"] = {"to": "north"}
    write_map(tmp_path / "out.json", read_map(written(tmp_path, raw), ENGINE))
    assert json.loads((tmp_path / "out.json").read_text()) == raw


def test_a_block_that_changes_loses_its_own_keys_and_no_other(tmp_path: Path) -> None:
    raw = sound_map()
    for entry in raw["blocks"]:
        entry["note"] = "mine"
    world = read_map(written(tmp_path, raw), ENGINE)
    blocks = world.blocks.copy()
    blocks[3, 4, 5] = WATER
    write_map(tmp_path / "out.json", with_blocks(world, blocks))
    first, second = json.loads((tmp_path / "out.json").read_text())["blocks"]
    assert first == raw["blocks"][0]
    assert second == {"position": [3, 4, 5], "blockType": "Water"}


def test_blocks_of_another_size_are_refused(tmp_path: Path) -> None:
    world = read_map(written(tmp_path, sound_map()), ENGINE)
    with pytest.raises(ValueError, match=r"\(2, 2, 2\) do not fit the map's grid \(8, 6, 10\); give"):
        with_blocks(world, np.zeros((2, 2, 2), dtype=np.int64))


@pytest.mark.parametrize("kind", [-1, 8])
def test_a_failed_write_leaves_the_old_map_whole(kind: int, tmp_path: Path) -> None:
    path = written(tmp_path, sound_map())
    before, world = path.read_bytes(), read_map(path, ENGINE)
    with pytest.raises(ValueError, match="the palette ends at 7; give blocks that index the palette"):
        write_map(path, replace(world, blocks=np.full((8, 6, 10), kind)))
    with pytest.raises(ValueError, match="map.json: the value of metadata.loss is not a finite number"):
        write_map(path, replace(world, extra={"metadata": {"loss": float("nan")}}))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=25, deadline=None)
@given(
    blocks=arrays(np.int64, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 7)),
    centre=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    scale=st.floats(0.01, 100),
    extra=st.dictionaries(st.text(min_size=3), st.none() | st.booleans() | st.text() | st.floats(-1e9, 1e9)),
)
def test_a_written_map_reads_back_and_writes_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    blocks: np.ndarray,
    centre: tuple[float, float],
    scale: float,
    extra: dict,
) -> None:
    extra = {f"own-{key}": value for key, value in extra.items()}
    folder = tmp_path_factory.mktemp("maps")
    write_map(folder / "a.json", BlockMap(blocks, ENGINE, Frame(centre, scale), extra))
    world = read_map(folder / "a.json", ENGINE)
    np.testing.assert_array_equal(world.blocks, blocks)
    assert world.frame == Frame(centre, scale)
    assert {key: world.extra[key] for key in extra} == extra
    write_map(folder / "b.json", world)
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_blocks_in_the_file_means_nothing(
    tmp_path_factory: pytest.TempPathFactory, random: Any
) -> None:
    blocks = [{"position": [x, 0, z], "blockType": "Dirt"} for x in range(3) for z in range(3)]
    folder, shuffled = tmp_path_factory.mktemp("maps"), blocks.copy()
    random.shuffle(shuffled)
    write_map(folder / "a.json", read_map(written(folder, {"blocks": blocks}), ENGINE))
    write_map(folder / "b.json", read_map(written(folder, {"blocks": shuffled}), ENGINE))
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()
