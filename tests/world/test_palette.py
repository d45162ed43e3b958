"""A palette is a file: what it says is what is read, and what is wrong in it is named."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.palettes import write_palette
from tests.helpers.workspace import ROOT
from voxsds.captions.attributes import BIOMES, MATERIALS
from voxsds.captions.sentences import words
from voxsds.captions.wordings import CORE, EVALUATOR_SYNONYMS, TEACHER_SYNONYMS
from voxsds.world.maps import read_map
from voxsds.world.palette import BOTTOM, SIDE, TOP, read_palette

ENGINE = read_palette("engine")
PLAN = {  # linear RGB of top, bottom and side, as the plan gives them
    "Grass": ((0.34, 0.68, 0.36), (0.40, 0.30, 0.16), (0.45, 0.58, 0.30)),
    "Dirt": ((0.42, 0.32, 0.20), (0.38, 0.26, 0.16), (0.40, 0.30, 0.18)),
    "Stone": ((0.58, 0.60, 0.64), (0.55, 0.57, 0.60), (0.56, 0.58, 0.62)),
    "Plank": ((0.78, 0.68, 0.50), (0.72, 0.60, 0.42), (0.74, 0.63, 0.45)),
    "Snow": ((0.92, 0.94, 0.96), (0.90, 0.92, 0.94), (0.88, 0.90, 0.93)),
    "Sand": ((0.88, 0.82, 0.60), (0.86, 0.78, 0.56), (0.87, 0.80, 0.58)),
    "Water": ((0.22, 0.40, 0.66), (0.20, 0.34, 0.60), (0.20, 0.38, 0.64)),
}
ROW = {"name": "Brick", "top": [0.5, 0.2, 0.1], "bottom": [0.5, 0.2, 0.1], "side": [0.4, 0.2, 0.1]}


def test_the_engines_palette_is_that_of_the_plan():
    assert ENGINE.names == ("Air", *PLAN)
    assert (ENGINE.albedo[0] == 0).all() and (ENGINE.albedo[1:] == np.array([*PLAN.values()])).all()
    assert set(ENGINE.states) == set(ENGINE.words) == set(PLAN) and set(ENGINE.under) < set(PLAN)


def test_a_palette_is_read_by_name_and_by_path(tmp_path):
    path = write_palette(tmp_path / "many.yaml", 256)
    many, rows = read_palette(path), yaml.safe_load(path.read_text())
    assert (
        len(many) == 257 and many.names[256] == "Material 256" and read_palette(str(path)).names == many.names
    )
    for slot, column in ((TOP, "top"), (BOTTOM, "bottom"), (SIDE, "side")):
        assert many.albedo[1:, slot].tolist() == [row[column] for row in rows]
    assert many.states["Material 7"] == "many:material_7" and many.words["Material 7"] == {"material7"}
    assert many.under["Material 7"] == ("Material 6",) and many.under["Material 1"] == ()


def test_only_a_name_and_colours_have_to_be_given(tmp_path):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump([ROW]))
    one = read_palette(tmp_path / "one.yaml")
    assert one.names == ("Air", "Brick") and not (one.states or one.words or one.under)


def test_a_custom_block_has_colours_and_no_other_column():
    more = ENGINE.extended(("Marble",), np.full((1, 3, 3), 0.5))
    assert more.index("Marble") == len(ENGINE) and more.words is ENGINE.words and "Marble" not in more.states


@pytest.mark.parametrize(("rows", "message"), [
    ([], r"holds \[\]; write a list"),
    ({"Brick": ROW}, "holds {.*write a list, a row"),
    (["Brick"], 'row 1 is "Brick"; it must be an object'),
    ([ROW | {"colour": 1}], "row 1: 'colour' is unknown; did you mean '"),
    ([{k: v for k, v in ROW.items() if k != "side"}], "row 1: side is missing; add it"),
    ([ROW, ROW], "row 2: the name 'Brick' is taken"),
    ([ROW | {"name": "Air"}], "row 1: the name 'Air' is taken"),
    ([ROW | {"name": True}], "row 1: name is true; give it in words"),
    ([ROW | {"state": ""}], 'row 1: state is ""; give it in words'),
    ([ROW | {"top": [0.5, 0.2]}], "row 1: top has 2 entries; it must have 3 numbers"),
    ([ROW | {"top": [50, 20, 10]}], r"row 1: top is \[50, 20, 10\]; give linear .* divided by 255"),
    ([ROW | {"words": "red brick"}], r'row 1: words is "red brick"; give a list of words'),
    ([ROW | {"under": ["Bric"]}], r"Brick\.under names 'Bric', which is no row; did you mean 'Brick'"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_is_named_in_one_line(rows, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(rows))
    with pytest.raises(ValueError, match=rf"mine\.yaml: {message}|mine\.yaml: row .*{message}") as error:
        read_palette(tmp_path / "mine.yaml")
    assert "\n" not in str(error.value)


def test_a_palette_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="no palette 'engin'; there are engine.*; or give a path"):
        read_palette("engin")
    with pytest.raises(FileNotFoundError, match="mine.yaml: there is no such file"):
        read_palette(tmp_path / "mine.yaml")


def test_every_wording_of_the_captions_for_a_material_is_a_word_of_its_row():
    terms = [*BIOMES.items(), *((f"material {word}", word) for word in MATERIALS), ("bridge plank", "plank")]
    for term, material in terms:
        for wording in (CORE[term], *TEACHER_SYNONYMS.get(term, ()), *EVALUATOR_SYNONYMS.get(term, ())):
            assert set(words(wording)) - {"bare"} <= ENGINE.words[material.capitalize()], (term, wording)


# English words of sentences, which the captions are made of, are no names of blocks.
VOCABULARY = {"voxsds/captions/attributes.py", "voxsds/captions/wordings.py", "voxsds/captions/sentences.py"}
ALLOWED = {  # (file, string): a command that is typed as an example
    ("voxsds/cli/words.py", 'voxsds words "a stone castle by the lake"'),
}


def named_materials(source: str) -> list[str]:
    """Identifiers, keys and strings of a module, docstrings apart, that name a material of the engine's."""
    tree = ast.parse(source)
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    said = {id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, holders) and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in said:
                found.append(text)
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text) | ast.alias(name=text):
                found.append(text)
            case ast.FunctionDef(name=text) | ast.ClassDef(name=text):
                found.append(text)
    names = re.compile(rf"(?<![a-z])({'|'.join(name.lower() for name in PLAN)})s?(?![a-z])", re.IGNORECASE)
    return [text for text in found if names.search(text)]


def test_a_name_in_a_string_or_an_identifier_is_found_and_one_in_a_docstring_is_not():
    assert named_materials('"""Grass."""\nSTONE = 3\nx = a["Plank"]\ny = grass_top(snowy)\n"sandy"\n') == [
        "STONE", "Plank", "grass_top",
    ]  # fmt: skip


def test_no_module_names_a_material():
    files = sorted((ROOT / "voxsds").rglob("*.py"))
    found = {
        (str(file.relative_to(ROOT)), text) for file in files for text in named_materials(file.read_text())
    }
    outside = {(file, text) for file, text in found if file not in VOCABULARY}
    assert {
        (file, text) for file, text in outside if not any(f == file and a in text for f, a in ALLOWED)
    } == set()
    # The captions know the words alone, in lower case, and none of the names of rows.
    assert not {text for file, text in found - outside if any(name in text for name in ENGINE.names[1:])}


def test_a_shipped_palette_is_part_of_the_package():
    assert "palettes/*.yaml" in (ROOT / "pyproject.toml").read_text()
    assert Path(ROOT / "voxsds/world/palettes/engine.yaml").is_file()


@pytest.mark.parametrize("number", [1, 2])
def test_shipped_maps_are_of_the_materials_that_they_name(number):
    path = ROOT / f"maps/{number}/map.json"
    blocks, entries = read_map(path, ENGINE).blocks, json.loads(path.read_text())["blocks"]
    assert {tuple(e["position"]): ("Air", *PLAN).index(e["blockType"]) for e in entries} == {
        at: int(material) for at, material in np.ndenumerate(blocks) if material
    }
