"""Docstrings can be read without the name beside them."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.helpers.pages import ROOT

# They point back at a name: "All of it", "Those of the other", "What it did".
POINTING = re.compile(
    r"(That|Those|What|How|All|Which|Where|Who|When|It|They|Likewise|As|Of|The same|The other)\b"
)


def docstrings() -> Iterator[tuple[str, str]]:
    """(place, docstring) of everything in the library, the stages and the examples."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for folder in ("voxsds", "stages", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                    name = getattr(node, "name", "module")
                    yield f"{path.relative_to(ROOT)}: {name}", text


def test_no_docstring_points_back_at_a_name() -> None:
    assert [f"{place}: {text}" for place, text in docstrings() if POINTING.match(text)] == []


@pytest.mark.parametrize(
    "text", ["What the export did.", "All of it.", "How far it is.", "The same on the CPU."]
)
def test_such_docstrings_are_found(text: str) -> None:
    assert POINTING.match(text) and len(list(docstrings())) > 500
