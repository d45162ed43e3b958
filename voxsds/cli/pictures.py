"""Pictures of a world for people: one view, or a turn around it as an animation."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from voxsds.files.disk import atomic_path, write_image
from voxsds.render.draw import draw
from voxsds.world.cameras import Camera
from voxsds.world.maps import BlockMap
from voxsds.world.poses import PoseLaw, farther, orbit_pose

LOOK = PoseLaw((30.0, 30.0), (1.45, 1.45), fov_y_degrees=45.0, target_height=0.36, target_jitter=0.0)
STILL = (".png",)
MOVING = (".gif", ".webp", ".mp4")


def write_picture(
    path: Path,
    world: BlockMap,
    size: int,  # pixels, square
    azimuth: float,  # degrees, of the first picture; 0 looks from the east, 90 from the south
    elevation: float,  # degrees
    frames: int,  # of a turn
    seconds: float,  # that a turn takes
) -> None:
    """Writes a .png, or a turn as .gif, .webp or .mp4, by the suffix of `path`.

    ValueError for another suffix, and for .mp4 where there is no ffmpeg.
    """
    match path.suffix.lower():
        case ".png":
            write_image(path, _drawn(world, [_camera(world, size, azimuth, elevation)])[0])
        case ".gif" | ".webp":
            images = _turn(world, size, azimuth, elevation, frames)
            _write_animation(path, images, round(1000 * seconds / frames))
        case ".mp4":
            ffmpeg = _find_ffmpeg(path)  # first: drawing may take long
            images = _turn(world, size, azimuth, elevation, frames)
            _write_film(path, images, frames / seconds, ffmpeg)
        case _:
            raise ValueError(
                f"{path}: pictures are written as {', '.join(STILL + MOVING)}; choose one of these"
            )


def _camera(world: BlockMap, size: int, azimuth: float, elevation: float) -> Camera:
    x, y, z = world.blocks.shape
    radius = LOOK.radius[0] * farther((x, y, z))
    return orbit_pose(LOOK, (x, y, z), world.frame, size, azimuth, elevation, radius)


def _turn(
    world: BlockMap, size: int, azimuth: float, elevation: float, frames: int
) -> UInt8[np.ndarray, "frames height width 3"]:
    around = [azimuth + 360 * i / frames for i in range(frames)]
    return _drawn(world, [_camera(world, size, at, elevation) for at in around])


def _drawn(world: BlockMap, cameras: list[Camera]) -> UInt8[np.ndarray, "frames height width 3"]:
    images = draw(world, cameras).movedim(1, -1).numpy()
    return np.round(255 * images).astype(np.uint8)


def _write_animation(
    path: Path, images: UInt8[np.ndarray, "frames height width 3"], milliseconds: int
) -> None:
    """An endless loop; of WebP without loss, of GIF in 256 colours that all frames share."""
    pictures = [Image.fromarray(image) for image in images]
    if path.suffix.lower() == ".gif":
        palette = Image.fromarray(np.concatenate(images[:: max(1, len(images) // 8)])).quantize(256)
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    first, *others = pictures
    with atomic_path(path) as file:
        first.save(file, save_all=True, append_images=others, duration=milliseconds, loop=0, lossless=True)


def _find_ffmpeg(path: Path) -> str:
    """The program that encodes films; not brought along, as its usual encoder, x264, is under the GPL."""
    if found := shutil.which("ffmpeg"):
        return found
    raise ValueError(
        f"{path}: MP4 is encoded by ffmpeg, which is not on the PATH; install it (Debian: apt-get install "
        f"ffmpeg; macOS: brew install ffmpeg), or write {path.with_suffix('.webp').name}"
    )


def _write_film(
    path: Path, images: UInt8[np.ndarray, "frames height width 3"], frames_per_second: float, ffmpeg: str
) -> None:
    """One turn, in H.264 where ffmpeg has an encoder for it; an odd last row or column is left out."""
    height, width = images.shape[1:3]
    command = [
        ffmpeg, "-loglevel", "error", "-f", "rawvideo", "-pixel_format", "rgb24",
        "-video_size", f"{width}x{height}", "-framerate", str(frames_per_second), "-i", "-",
        "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart",
    ]  # fmt: skip
    with atomic_path(path) as file:
        done = subprocess.run([*command, str(file)], input=images.tobytes(), capture_output=True)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise ValueError(f"{path}: ffmpeg could not encode it ({said}); write .webp instead")
