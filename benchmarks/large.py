"""Large worlds: a training's memory beside its estimate, and one image of a larger world.

    python -m benchmarks.large            256 x 128 x 256 trained and 512 x 128 x 512 drawn; needs a GPU
    python -m benchmarks.large --train 64 48 64 --draw 128 64 128 --pixels 256        on a CPU

writes benchmarks/results/large.json. The worlds are rolling hills, the teacher that of params.yaml.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.machine import machine
from benchmarks.prepared import plain_recipe, prepared
from benchmarks.render import milliseconds, peak_mb
from teacher.worlds.materials import DIRT, ENGINE, GRASS, STONE
from voxsds.files.disk import write_image, write_json
from voxsds.files.params import read_params, read_section
from voxsds.grid.logits import GridSettings
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.train.memory import Load, free_bytes
from voxsds.train.processes import ALONE, own_device
from voxsds.world.cameras import Camera, Frame
from voxsds.world.field import solid_field
from voxsds.world.maps import BlockMap
from voxsds.world.poses import PoseLaw, orbit_pose

Shape = tuple[int, int, int]
LAW = PoseLaw((30.0, 30.0), (1.35, 1.35), fov_y_degrees=45.0, target_height=0.36, target_jitter=0.0)
MB = 2**20


def hills(shape: Shape) -> BlockMap:
    """Grass on dirt on stone."""
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    top = shape[1] * (0.42 + 0.18 * np.sin(10.7 * x / shape[0]) * np.cos(8.2 * z / shape[2]))
    blocks = np.select([y < top - 4, y < top - 1, y < top], [STONE, DIRT, GRASS], 0)
    return BlockMap(blocks, ENGINE, Frame((shape[0] / 2, shape[2] / 2)), {})


def all_around(world: BlockMap, pixels: int, count: int) -> list[Camera]:
    x, y, z = world.blocks.shape
    turns = [360 / count * i for i in range(count)]
    return [orbit_pose(LAW, (x, y, z), world.frame, pixels, turn, 30.0, LAW.radius[0]) for turn in turns]


@dataclass(frozen=True)
class Watch:
    """Memory of a device: what a call takes at most, beyond what was taken before."""

    device: torch.device
    before: float  # MB

    @classmethod
    def start(cls, device: torch.device) -> "Watch":
        on_gpu = device.type == "cuda"
        now = torch.cuda.memory_allocated(device) if on_gpu else psutil.Process().memory_info().rss
        return cls(device, now / MB)

    def peak_gb(self, call: Any) -> float | None:
        peak = peak_mb(call, self.device)
        return None if peak is None else round((peak - self.before) * MB / 1e9, 3)


def trained(params: dict[str, Any], shape: Shape, steps: int) -> dict[str, Any]:
    """Some steps of a training, with its peak of memory."""
    device, world = torch.device(own_device()), hills(shape)
    recipe = plain_recipe(params, steps)
    levels = read_section(params, "grid", GridSettings).levels_of(shape)
    load = Load.of(recipe, shape, len(world.palette), levels, device)
    load.require(free_bytes(str(device), 1), str(device))
    took: list[float] = []

    def run() -> None:
        cameras = all_around(world, recipe.teacher.ask.resolution, 24)
        training = prepared(params, recipe, world, cameras, ALONE)
        for _ in range(steps):
            start = time.perf_counter()
            training.advance()  # reads figures from the device, so it has waited for it
            took.append(1000 * (time.perf_counter() - start))

    peak = Watch.start(device).peak_gb(run)
    return {
        "grid": list(shape),
        "backend": load.backend,
        "teacher": params["guidance"],
        "views": recipe.train.views,
        "px": recipe.teacher.ask.resolution,
        "steps": steps,
        "ms": round(float(np.median(took)), 2),
        "peak_gb": peak,
        "estimated_gb": round(load.total / 1e9, 3),
        "parts_gb": {name: round(taken / 1e9, 3) for name, taken in load.parts.items()},
    }


@torch.no_grad()
def drawn(shape: Shape, pixels: int, picture: Path | None) -> dict[str, Any]:
    """One image of a world of plain blocks: the second time it is drawn, when all is compiled."""
    device, world = torch.device(own_device()), hills(shape)
    watch = Watch.start(device)
    rays = ray_bundle(all_around(world, pixels, 1), world.frame, device=device)
    lit = lit_faces(world.palette).to(device, torch.float32)
    took: list[float] = []

    def run() -> None:
        field = solid_field(world.blocks, len(world.palette) - 1, device=device)
        images: list[torch.Tensor] = []
        for _ in range(2):
            images.clear()
            took.append(milliseconds(lambda: images.append(render(*field, lit, rays).rgba[0, :3]), device))
        if picture:
            write_image(picture, images[-1].permute(1, 2, 0).cpu().numpy())

    peak = watch.peak_gb(run)
    return {"grid": list(shape), "px": pixels, "forward_ms": round(took[-1], 3), "peak_gb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, nargs=3, default=[256, 128, 256], metavar=("X", "Y", "Z"))
    parser.add_argument("--draw", type=int, nargs=3, default=[512, 128, 512], metavar=("X", "Y", "Z"))
    parser.add_argument("--pixels", type=int, default=1024, help="of the image that is drawn")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--picture", type=Path, help="a .png of the image that is drawn")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/large.json"))
    arguments = parser.parse_args()
    params = read_params(arguments.params)
    result = {
        "machine": machine(),
        "drawn": drawn(tuple(arguments.draw), arguments.pixels, arguments.picture),
    }
    print(result["drawn"], flush=True)
    result["trained"] = trained(params, tuple(arguments.train), arguments.steps)
    print(result["trained"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
