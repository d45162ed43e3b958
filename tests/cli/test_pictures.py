"""Pictures of a map: what their pixels show, and turns that go round."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from teacher.worlds.materials import ENGINE, SNOW, STONE
from voxsds.cli.pictures import write_picture
from voxsds.render.light import SKY
from voxsds.world.cameras import Frame
from voxsds.world.maps import BlockMap


@pytest.fixture
def world() -> BlockMap:
    blocks = np.zeros((8, 6, 8), np.int64)
    blocks[2:6, :4, 2:6], blocks[6, 0, 3] = STONE, SNOW
    return BlockMap(blocks, ENGINE, Frame((4.0, 4.0)), {})


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=float)


def test_a_picture_shows_the_build_before_the_sky(world: BlockMap, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", world, 64, 30.0, 20.0, frames=4, seconds=1.0)
    image = pixels(Image.open(tmp_path / "a.png"))
    assert image.shape == (64, 64, 3)
    np.testing.assert_allclose(image[0, 0], 255 * SKY, atol=1)
    assert np.abs(image[32, 32] - 255 * SKY).max() > 30


@pytest.mark.parametrize(("name", "tolerance"), [("a.gif", 12), ("a.webp", 0)])
def test_a_turn_shows_the_world_from_all_sides(
    name: str, tolerance: int, world: BlockMap, tmp_path: Path
) -> None:
    write_picture(tmp_path / name, world, 48, 10.0, 30.0, frames=4, seconds=2.0)
    with Image.open(tmp_path / name) as turn:
        assert turn.n_frames == 4 and turn.info["loop"] == 0
        for frame in range(4):
            turn.seek(frame)
            turn.load()
            assert turn.info["duration"] == 500
            seen = pixels(turn)
            write_picture(tmp_path / "still.png", world, 48, 10.0 + 90 * frame, 30.0, frames=1, seconds=1.0)
            assert np.abs(seen - pixels(Image.open(tmp_path / "still.png"))).max() <= tolerance


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_film_shows_what_the_other_turns_show(world: BlockMap, tmp_path: Path) -> None:
    """Its losses are those of the codec; a width of 49 becomes 48, as chroma is kept for pairs of pixels."""
    for name in ("a.mp4", "a.webp"):
        write_picture(tmp_path / name, world, 49, 10.0, 30.0, frames=6, seconds=2.0)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo"]
    decoded = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    film = np.frombuffer(decoded, np.uint8).reshape(6, 48, 48, 3).astype(float)
    with Image.open(tmp_path / "a.webp") as turn:
        for frame in range(6):
            turn.seek(frame)
            assert np.abs(film[frame] - pixels(turn)[:48, :48]).mean() < 6


def test_without_ffmpeg_a_film_is_refused_with_what_to_do(
    world: BlockMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="not on the PATH; install it .*, or write a.webp"):
        write_picture(tmp_path / "a.mp4", world, 16, 0.0, 30.0, 2, 1.0)
    assert not list(tmp_path.iterdir())


def test_what_ffmpeg_says_is_passed_on(world: BlockMap, tmp_path: Path, monkeypatch) -> None:
    broken = tmp_path / "bin" / "ffmpeg"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho Unknown encoder >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent))
    with pytest.raises(ValueError, match="Unknown encoder.*write .webp"):
        write_picture(tmp_path / "a.mp4", world, 16, 0.0, 30.0, 2, 1.0)
    assert list(tmp_path.iterdir()) == [broken.parent]


def test_other_formats_are_refused_with_those_that_are_written(world: BlockMap, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=".png, .gif, .webp, .mp4"):
        write_picture(tmp_path / "a.jpg", world, 16, 0.0, 30.0, 2, 1.0)
    assert not list(tmp_path.iterdir())
