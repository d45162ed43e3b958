"""Photographs of block worlds by a renderer that shares nothing with ours: three.js in a headless Chromium.

The script of the report draws them, with its own meshes, its own light and the matrices of metadata.json.
Needs Chromium (Debian: apt-get install chromium; else CHROMIUM=/path/to/it) and `pip install -e .[browser]`.
"""

import base64
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import UInt8

from voxsds.report.history import described_world
from voxsds.report.page import BUNDLE
from voxsds.world.cameras import Camera
from voxsds.world.maps import BlockMap

NAMES = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def find_chromium() -> str | None:
    """The browser to start, None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A playwright Browser: headless, drawing in software, alike on every machine; ValueError without one."""
    try:
        from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("the package playwright is not installed; pip install -e .[browser]") from None
    if not (path := find_chromium()):
        raise ValueError(
            "there is no Chromium; apt-get install chromium, or set CHROMIUM to the path of a Chrome"
        )
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=SOFTWARE_GL)
        yield made
        made.close()


def photograph(
    chromium: Any,  # from `browser`
    world: BlockMap,
    cameras: Sequence[Camera],  # all of one image size
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """`world` as each of the cameras sees it, one sample a pixel, at its centre."""
    width, height = cameras[0].width, cameras[0].height
    page = chromium.new_page()
    page.set_content("<!doctype html><title>photographs</title>")
    page.add_script_tag(path=BUNDLE)
    taken = page.evaluate(
        "([world, views, width, height]) => voxsds.validate.photographs(world, views, width, height)",
        [described_world(world), [_matrices(camera) for camera in cameras], width, height],
    )
    page.close()
    pixels = (np.frombuffer(base64.b64decode(rgb), dtype=np.uint8) for rgb in taken)
    return [image.reshape(height, width, 3) for image in pixels]


def _matrices(camera: Camera) -> dict[str, Any]:
    """Column by column, as in metadata.json."""
    return {
        "viewMatrix": camera.view.flatten("F").tolist(),
        "projectionMatrix": camera.projection.flatten("F").tolist(),
    }
