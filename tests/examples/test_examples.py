"""The examples run as they are, and show what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.pages import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like this one and takes what the examples write."""
    for name in ("params.yaml", "maps", "datasets", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def said(example: str, folder: Path) -> str:
    command = [sys.executable, "-m", f"examples.{example}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def test_a_gradient_at_an_empty_voxel_is_what_adding_a_block_does(checkout: Path) -> None:
    promised, found = map(float, re.findall(r"[+-]\d+\.\d+", said("render_a_map", checkout)))
    assert abs(promised) > 1 and found == pytest.approx(promised, rel=1e-5)
    pictures = [checkout / "out_local/examples" / name for name in ("map.png", "one_block_more.png")]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


def test_the_oracle_leads_to_the_goal(checkout: Path) -> None:
    start, end = map(float, re.findall(r"(?:from|to) (\d+\.\d+)", said("fit_by_oracle", checkout)))
    assert start < 25 and end > 35
    width, height = size(checkout / "out_local/examples/fitted.png")
    assert width == 3 * height


def test_twenty_steps_of_distillation_help(checkout: Path) -> None:
    first, last = map(float, re.findall(r"by ([+-]\d+\.\d+)", said("distil", checkout)))
    assert last > first
    assert size(checkout / "out_local/examples/distilled.png") == (256, 256)
