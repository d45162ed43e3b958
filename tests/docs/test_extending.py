"""docs/extending.md tells the truth: its toys work when just the files that it names are changed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.pages import ROOT, read

PAGE = "docs/extending.md"


def section(title: str) -> str:
    """The text under a heading of the page."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", read(PAGE), flags=re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def snippet(title: str, begins: str) -> str:
    """The code block of a section that begins so, without its indentation."""
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```$", section(title), flags=re.MULTILINE | re.DOTALL)
    texts = [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in blocks]
    return next(text for text in texts if text.startswith(begins))


class Copy:
    """A copy of the library in which a toy is built."""

    def __init__(self, root: Path):
        self.root, self.changed = root, set()
        shutil.copytree(ROOT / "voxsds", root / "voxsds", ignore=shutil.ignore_patterns("__pycache__"))

    def insert(self, file: str, after: str, text: str) -> None:
        """`text` after the one line of `file` that begins with `after`, as far to the right as that."""
        path = self.root / file
        lines = path.read_text().splitlines(keepends=True)
        (at,) = [i for i, line in enumerate(lines) if line.strip().startswith(after)]
        indent = re.match(" *", lines[at])[0]  # pyright: ignore[reportOptionalSubscript]
        lines[at + 1 : at + 1] = [indent + line for line in text.splitlines(keepends=True)]
        path.write_text("".join(lines))
        self.changed.add(file)

    def write(self, file: str, text: str) -> None:
        (self.root / file).write_text(text)
        self.changed.add(file)

    def runs(self, code: str) -> None:
        """Runs `code` against the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def regulariser(copy: Copy) -> None:
    function, line = snippet("A regulariser", "def height"), snippet("A regulariser", '"height"')
    copy.insert("voxsds/train/recipe.py", "patchwork: float", snippet("A regulariser", "height: float"))
    copy.insert("voxsds/train/penalties.py", "TOUCHED = ", "\n\n" + function)
    copy.insert("voxsds/train/penalties.py", '"patchwork": mean(', line)
    copy.runs("""
import torch
from voxsds.train.penalties import penalties
from voxsds.train.recipe import Penalties
from voxsds.world.field import Field

opacity = torch.ones(2, 4, 3, requires_grad=True)
field = Field(opacity, torch.full((2, 4, 3, 2), 0.5))
parts = penalties(Penalties(0.0, 0.0, 0.0, 0.0, 0.0, height=2.0), field, torch.ones(2, 4, 3))
assert parts["height"].item() == 2 * (0 + 1 + 2 + 3) / 16, parts
parts["height"].backward()
assert (opacity.grad[:, 0] == 0).all() and (opacity.grad[:, 3] > opacity.grad[:, 1]).all()
""")


TOYS: dict[str, Callable[[Copy], None]] = {"A regulariser": regulariser}


@pytest.mark.parametrize("title", TOYS)
def test_a_toy_works_when_the_named_files_alone_are_changed(title: str, copy: Copy) -> None:
    TOYS[title](copy)
    assert copy.changed <= set(re.findall(r"`([\w/.]+\.(?:py|yaml))`", section(title)))


def test_nothing_of_a_toy_is_left_in_the_library() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "voxsds").rglob("*.py"))
    assert "weights.height" not in sources
