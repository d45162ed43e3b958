"""docs/extending.md tells the truth: its toys work when just the files that it names are changed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

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
    blocks = re.findall(
        r"^( *)```(?:python|yaml)\n(.*?)^ *```$", section(title), flags=re.MULTILINE | re.DOTALL
    )
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

    def replace(self, file: str, old: str, new: str) -> None:
        """`new` in the one place of `file` that says `old`."""
        text = (self.root / file).read_text()
        assert text.count(old) == 1, (file, old)
        self.write(file, text.replace(old, new))

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


def palette(copy: Copy) -> None:
    copy.write("my-palette.yaml", snippet("A palette", "- name: Brick"))
    copy.runs("""
from voxsds.captions.naming import materials_in
from voxsds.formats.build import Kind
from voxsds.formats.mapping import read_mapping
from voxsds.world.palette import read_palette

palette = read_palette("my-palette.yaml")
assert palette.names == ("Air", "Brick", "Clay") and materials_in("a red tower", palette) == {1}
mapping = read_mapping(palette)
assert mapping.state_of(palette, 1)[0] == mapping.state_of(palette, 2)[0] == "minecraft:bricks"
assert mapping.material_of(Kind("minecraft:bricks")) == (1, "table")
assert mapping.material_of(Kind("minecraft:light_gray_concrete")) == (2, "colour")
assert mapping.material_of(Kind("minecraft:torch")) == (0, "table")
""")


def backend(copy: Copy) -> None:
    made = snippet("A renderer backend", "CHANNELS")
    copy.write("voxsds/render/blank.py", "import math\n\nimport torch\n\n\n" + made)
    case = indent(snippet("A renderer backend", "case"), 8 * " ")
    copy.replace("voxsds/render/renderer.py", "        case _:\n", case + "        case _:\n")
    copy.replace("voxsds/render/renderer.py", '("reference", "numba")', '("reference", "numba", "blank")')
    copy.runs("""
import numpy as np
import torch
from voxsds.render.draw import draw
from voxsds.render.light import SKY
from voxsds.render.renderer import backend_of, first_hit, present_backends
from voxsds.render.rays import ray_bundle
from voxsds.world.cameras import Frame, look_at
from voxsds.world.maps import BlockMap
from voxsds.world.palette import read_palette

world = BlockMap(np.ones((2, 2, 2), int), read_palette("engine"), Frame((1.0, 1.0)))
camera = look_at(np.array([9.0, 7.0, 8.0]), np.array([0.0, 1.0, 0.0]), 40.0, 5, 4)
image = draw(world, [camera], backend="blank")
assert image.shape == (1, 3, 4, 5) and torch.allclose(image[0, :, 2, 2], torch.tensor(SKY).float())
assert not torch.allclose(draw(world, [camera])[0, :, 2, 2], image[0, :, 2, 2])
hits = first_hit(torch.ones(2, 2, 2), ray_bundle([camera], world.frame), backend="blank")
assert (hits.voxel == -1).all() and hits.face.shape == (1, 4, 5)
assert "blank" in present_backends() and backend_of("blank").bytes((2, 2, 2), 20) == 576
""")


def exchange(copy: Copy) -> None:
    head = """from pathlib import Path

import numpy as np

from voxsds.files.disk import write_text
from voxsds.formats.build import Build, Kind, check_shape


"""
    copy.write("voxsds/formats/listing.py", head + snippet("A format", "def read"))
    file = "voxsds/formats/exchange.py"
    copy.replace(file, "import litematic, sponge", "import listing, litematic, sponge")
    copy.replace(file, '".nbt", ".vox")', '".nbt", ".vox", ".blocks")')
    case = indent(snippet("A format", "case"), 8 * " ")
    copy.replace(file, '        case ".schematic":\n', case + '        case ".schematic":\n')
    copy.runs("""
import numpy as np
from pathlib import Path
from voxsds.formats.exchange import export_world, import_world
from voxsds.formats.mapping import read_mapping
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap
from voxsds.world.palette import read_palette

palette = read_palette("engine")
blocks = np.random.default_rng(0).integers(0, len(palette), (3, 4, 5))
blocks[-1, -1, -1] = 3
world, mapping = BlockMap(blocks, palette, Frame((1.5, 2.5))), read_mapping(palette)
assert export_world(Path("a.blocks"), world, mapping).files == (Path("a.blocks"),)
assert (import_world(Path("a.blocks"), mapping).world.blocks == blocks).all()
""")


TOYS: dict[str, Callable[[Copy], None]] = {
    "A regulariser": regulariser,
    "A palette": palette,
    "A renderer backend": backend,
    "A format": exchange,
}


@pytest.mark.parametrize("title", TOYS)
def test_a_toy_works_when_the_named_files_alone_are_changed(title: str, copy: Copy) -> None:
    TOYS[title](copy)
    named = re.findall(r"`([\w/.-]+\.(?:py|yaml))`", section(title))
    assert copy.changed <= {*named, *(f"voxsds/{file}" for file in named)}  # new ones by their folder


def test_nothing_of_a_toy_is_left_in_the_library() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "voxsds").rglob("*.py"))
    assert "weights.height" not in sources
