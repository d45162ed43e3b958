"""Pictures of a world for people: one view, or a turn around it as an animation."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from voxsds.cameras import Camera
from voxsds.files import atomic_path, write_image
from voxsds.maps import BlockMap
from voxsds.poses import PoseLaw, farther, orbit_pose
from voxsds.render import render_blocks

LOOK = PoseLaw((30.0, 30.0), (1.45, 1.45), fov_y_degrees=45.0, target_height=0.36, target_jitter=0.0)
STILL = (".png",)
MOVING = (".gif", ".webp")


def write_picture(
    path: Path,
    world: BlockMap,
    size: int,  # pixels, square
    azimuth: float,  # degrees, of the first picture; 0 looks from the east, 90 from the south
    elevation: float,  # degrees
    frames: int,  # of a turn
    seconds: float,  # that a turn takes
) -> None:
    """Writes a .png, or a turn as .gif or .webp, by the suffix of `path`; ValueError for another one."""
    match path.suffix.lower():
        case ".png":
            write_image(path, _drawn(world, [_camera(world, size, azimuth, elevation)])[0])
        case ".gif" | ".webp":
            turn = [azimuth + 360 * i / frames for i in range(frames)]
            images = _drawn(world, [_camera(world, size, at, elevation) for at in turn])
            _write_animation(path, images, round(1000 * seconds / frames))
        case ".mp4":
            raise ValueError(
                f"{path}: MP4 is not written, as the H.264 encoders there are for Python contain GPL code; "
                f"write {path.with_suffix('.gif').name}, and turn it into one with "
                f"ffmpeg -i {path.with_suffix('.gif').name} -pix_fmt yuv420p {path.name}"
            )
        case _:
            raise ValueError(
                f"{path}: pictures are written as {', '.join(STILL + MOVING)}; choose one of these"
            )


def _camera(world: BlockMap, size: int, azimuth: float, elevation: float) -> Camera:
    x, y, z = world.blocks.shape
    radius = LOOK.radius[0] * farther((x, y, z))
    return orbit_pose(LOOK, (x, y, z), world.frame, size, azimuth, elevation, radius)


def _drawn(world: BlockMap, cameras: list[Camera]) -> UInt8[np.ndarray, "frames height width 3"]:
    images = render_blocks(world, cameras).movedim(1, -1).numpy()
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
