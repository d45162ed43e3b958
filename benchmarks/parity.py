"""Do the renderer's backends agree on this machine? `python -m benchmarks.parity` writes
benchmarks/results/parity.json and, for people, docs/parity.md.

Small images are compared with the reference; what draws on a GPU then also with numba, in large ones.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.machine import machine
from benchmarks.tables import markdown, number
from teacher.worlds.materials import ENGINE
from teacher.worlds.world import generate
from voxsds.captions.styles import TEACHER
from voxsds.files.disk import write_json, write_text
from voxsds.gradcheck.backends import Drawn, Scene, agreement, dissolved
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import MIN_TRANSMITTANCE, present_backends
from voxsds.world.cameras import Camera, Frame, look_at
from voxsds.world.datasets import read_dataset
from voxsds.world.field import solid_field
from voxsds.world.maps import BlockMap, read_map

THRESHOLD = 0.05  # as in gradcheck
SMALL, LARGE = 48, 512  # pixels of an image's height
GENERATED = (1, 2, 3)  # seeds
SIZE = (32, 24, 32)  # of generated worlds
ERRORS = {  # columns of the largest errors, and their names on the page
    "color": "RGB",
    "alpha": "alpha",
    "reach": "reach",
    "by_opacity": "opacity",
    "by_material": "material",
}
DTYPES = {"float64": torch.float64, "float32": torch.float32}

HEAD = """# Do the renderer's backends agree?

Written by `python -m benchmarks.parity`; every figure is in `benchmarks/results/parity.json`.

{machine}

Worst errors over {scenes}. Each world is drawn as it is (hard) and half dissolved (soft); opacities
up to {threshold} are not drawn, and no ray is stopped early. Which voxels a pixel's ray enters is told by
the image of a random fog; *same walk* is the least share of pixels for which two backends agree on all of
them. The other figures are about these pixels: first hits that differ, the largest errors of RGB, of alpha
and of the light that reaches a voxel (only where all walks are the same), and of the products of random
cotangents with the Jacobians of opacity and material, relative to their largest entry.
"""
FOOT = """
The rasteriser of nvdiffrast snaps corners to 1/16 pixel, so a pixel whose middle is that near an edge may
see the voxel beside it. It peeled up to {layers} layers; at most {residual:.1e} of the light was left.
"""


def worlds() -> Iterator[tuple[str, BlockMap, Camera]]:
    """(name, world, a view of it): generated ones, and both maps of the repository."""
    frame = Frame((SIZE[0] / 2, SIZE[2] / 2))
    for seed in GENERATED:
        blocks = generate(seed, TEACHER, SIZE).blocks.astype(int)
        eye, target = (frame.to_world(np.array(point)) for point in ((41.3, 27.2, 44.1), (16.0, 8.0, 16.0)))
        view = look_at(eye, target, 45.0, 4 * LARGE // 3, LARGE)
        yield f"generated world {seed}", BlockMap(blocks, ENGINE, frame, {}), view
    for map_id in (1, 2):
        cameras = read_dataset(Path(f"datasets/{map_id}")).cameras
        yield f"map {map_id}", read_map(f"maps/{map_id}/map.json", ENGINE), cameras[3]


def scenes(height: int, dtype: torch.dtype) -> Iterator[Scene]:
    """All worlds, hard and soft, in images of one height."""
    for name, world, camera in worlds():
        view = camera.resized(round(height * camera.width / camera.height), height)
        rays = ray_bundle([view], world.frame, torch.float64)
        solids = len(world.palette) - 1
        fields = {
            "hard": solid_field(world.blocks, solids, dtype),
            "soft": dissolved(world.blocks, solids, dtype),
        }
        for kind, field in fields.items():
            lit = lit_faces(world.palette)
            yield Scene(f"{name}, {kind}", field, lit, rays, THRESHOLD)


def rows(backends: dict[str, torch.device], against: str, height: int) -> Iterator[dict[str, Any]]:
    """One for each backend, scene and precision."""
    for name, dtype in DTYPES.items():
        for scene in scenes(height, dtype):
            expected = Drawn(scene, against)
            for backend, device in backends.items():
                drawn = Drawn(scene, backend, device)
                row = {
                    "backend": backend, "device": device.type, "scene": scene.name,
                    "grid": list(scene.field.opacity.shape), "height": height, "dtype": name,
                    **asdict(agreement(drawn, expected)),
                }  # fmt: skip
                yield row | (_peeled(drawn) if backend == "nvdiffrast" else {})


def _peeled(drawn: Drawn) -> dict[str, Any]:
    """How many layers a training step would take, and the light left after them."""
    from voxsds.render.nvdiffrast_cuda import peel

    opacity = drawn.field.opacity.detach()
    layers = peel(opacity, drawn.rays, 0, THRESHOLD, MIN_TRANSMITTANCE, beyond=True)
    return {"layers": len(layers.rows), "residual": layers.residual.item()}


def report(result: dict[str, Any]) -> str:
    """The text for docs/: the worst of each kind."""
    found = pd.DataFrame(result["rows"])
    facts = "; ".join(f"{key} {value}" for key, value in result["machine"].items() if value is not None)
    names = ", ".join(found["scene"].str.split(",").str[0].unique())
    head = HEAD.format(machine=f"Machine: {facts}.", scenes=names, threshold=THRESHOLD)
    text = "\n".join([head, *markdown(worst(found)), ""])
    if "layers" in found:
        text += FOOT.format(layers=int(found["layers"].max()), residual=found["residual"].max())
    return text


def worst(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each backend, what it is compared with, height and precision, over all scenes; as text."""
    groups = found.groupby(["backend", "against", "height", "dtype"], sort=False)
    table = groups.agg(
        {"same_walk": "min", "wrong_hits": "sum", **dict.fromkeys(ERRORS, "max")}
    ).reset_index()
    table["same_walk"] = [f"{share:.4f}" for share in table["same_walk"]]
    for name in ERRORS:
        table[name] = [number(error, ".1e", missing="-") for error in table[name]]
    return table.rename(
        columns={"dtype": "numbers", "same_walk": "same walk", "wrong_hits": "wrong hits", **ERRORS}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/parity.json"))
    parser.add_argument("--report", type=Path, default=Path("docs/parity.md"))
    arguments = parser.parse_args()
    present = present_backends()
    print("present:", ", ".join(f"{name} ({device})" for name, device in present.items()))
    compared = {name: device for name, device in present.items() if name != "reference"}
    on_gpu = {name: device for name, device in present.items() if device.type == "cuda"}
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    runs = [(compared, "reference", SMALL), *([(on_gpu, "numba", LARGE)] if on_gpu else [])]
    for backends, against, height in runs:
        for row in rows(backends, against, height):
            result["rows"].append(row)
            print({key: value for key, value in row.items() if key not in ("grid", "pixels")})
    write_json(arguments.out, result)
    write_text(arguments.report, report(result))


if __name__ == "__main__":
    main()
