"""Which block becomes which material, by table, by colour, or for want of either."""

from pathlib import Path

import numpy as np
import pytest

from teacher.worlds.materials import ENGINE
from voxsds.formats.build import Kind
from voxsds.formats.mapping import lab, nearest_material, read_mapping
from voxsds.world.palette import SIDE, TOP

MAPPING = read_mapping(ENGINE)


@pytest.mark.parametrize(("block", "material", "how"), [
    ("minecraft:oak_log[axis=y]", "Plank", "table"),
    ("minecraft:stripped_warped_hyphae", "Plank", "table"),
    ("minecraft:stone_brick_stairs[half=top]", "Stone", "table"),
    ("minecraft:smooth_sandstone", "Sand", "table"),
    ("minecraft:oak_leaves[distance=7]", "Grass", "table"),
    ("minecraft:piston_head", "Stone", "table"),
    ("minecraft:mangrove_roots", "Plank", "table"),
    ("minecraft:crimson_stem", "Plank", "table"),
    ("minecraft:water[level=3]", "Water", "table"),
    ("minecraft:torch", "Air", "table"),
    ("minecraft:green_concrete", "Grass", "colour"),
    ("minecraft:blue_wool", "Water", "colour"),
    ("minecraft:white_concrete_powder", "Snow", "colour"),
    ("minecraft:brown_terracotta", "Dirt", "colour"),
    ("create:cogwheel[axis=x]", "Stone", "unknown"),
])  # fmt: skip
def test_known_blocks_become_what_they_look_like(block: str, material: str, how: str) -> None:
    choice = MAPPING.material_of(Kind(block))
    assert (ENGINE.names[choice.material], choice.how) == (material, how)


def test_every_material_comes_back_as_itself() -> None:
    """Through its block state, through the colour of its top and through that of its side."""
    for material, name in enumerate(ENGINE.names):
        state, how = MAPPING.state_of(ENGINE, material)
        assert how == "table" and MAPPING.material_of(Kind(state)).material == material, name
        for slot in (TOP, SIDE) if material else ():
            r, g, b = np.round(255 * ENGINE.albedo[material, slot]) / 255
            assert nearest_material((float(r), float(g), float(b)), ENGINE) == material, (name, slot)


def test_lab_of_known_colours() -> None:
    """White, sRGB red and mid grey as published (Lindbloom's calculator, D65)."""
    found = lab(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
    np.testing.assert_allclose(found, [[100, 0, 0], [53.24, 80.09, 67.20], [53.39, 0, 0]], atol=0.02)


def test_an_own_table_is_asked_first_and_may_say_little(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        'read:\n  - Snow: ["*_log"]\n  - Water: ["#ff0000"]\ncolors:\n  - "create:*": [0, 0, 255]\n'
        "write: {Stone: 'minecraft:andesite'}\notherwise: Dirt\n"
    )
    own = read_mapping(ENGINE, tmp_path / "own.yaml")
    blocks = ("minecraft:oak_log", "minecraft:oak_planks", "#ff0000", "create:cogwheel", "mod:thing")
    names = [ENGINE.names[own.material_of(Kind(block)).material] for block in blocks]
    assert names == ["Snow", "Plank", "Water", "Water", "Dirt"]
    assert own.state_of(ENGINE, ENGINE.index("Stone")) == ("minecraft:andesite", "table")
    assert own.state_of(ENGINE, ENGINE.index("Sand")) == ("minecraft:sand", "table")


@pytest.mark.parametrize(("text", "message"), [
    ("raed: []", "'raed' is none of the sections"),
    ("read: {Stone: [dirt]}", "read is {.*write a list"),
    ("read:\n  - Brick: [bricks]", "'Brick' is none of the materials Air, Grass"),
    ("read:\n  - Stone: dirt", 'read\\[0\\] is "dirt"; give a list of names'),
    ("write: {Stone: 3}", "write.Stone is 3; give a block"),
    ("colors:\n  - red: [300, 0, 0]", "red, green and blue of 0 to 255"),
    ("write: {Stone: a, Stone: b}", "'Stone' stands twice"),
])  # fmt: skip
def test_a_wrong_table_is_refused_with_place_and_remedy(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"own.yaml: .*{message}"):
        read_mapping(ENGINE, tmp_path / "own.yaml")
