"""Speed of the CPU renderer: `python -m benchmarks.render` writes benchmarks/results/render_cpu.json."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from voxsds.cameras import Frame, RayBundle, look_at, ray_bundle
from voxsds.field import Field
from voxsds.files import write_json
from voxsds.materials import DEFAULT_PALETTE
from voxsds.render import render
from voxsds.shading import lit_faces

CASES = {  # (grid, image side): most milliseconds for forward and backward together on two cores
    ((32, 24, 32), 128): 8.0,
    ((64, 48, 64), 512): 150.0,
}
THRESHOLD = 0.05  # as in training
COMPILE = "from benchmarks.render import first_call; print(first_call())"
LIT = torch.as_tensor(lit_faces(DEFAULT_PALETTE))


def scene(shape: tuple[int, int, int], kind: str) -> Field:
    """Rolling hills, 'hard' (logits of +-5) or dissolved into a fog of random opacities, 'soft'."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = torch.meshgrid(*[torch.linspace(0, 1, n) for n in shape], indexing="ij")
    solid = y < 0.42 + 0.18 * torch.sin(10.7 * x) * torch.cos(8.2 * z)
    logits = torch.where(solid, 5.0, -5.0)
    if kind == "soft":
        logits = torch.randn(shape, generator=generator) * 2 - 2
    material = torch.randn((*shape, len(DEFAULT_PALETTE) - 1), generator=generator) * 2
    return Field(torch.sigmoid(logits), torch.softmax(material, dim=-1))


def one_view(shape: tuple[int, int, int], side: int) -> RayBundle:
    """A view from a corner above, which the world fills for the most part."""
    size, frame = np.array(shape), Frame((shape[0] / 2, shape[2] / 2))
    eye, target = frame.to_world(size * [1.3, 1.2, 1.4]), frame.to_world(size * [0.5, 0.33, 0.5])
    return ray_bundle([look_at(eye, target, 50.0, side, side)], frame)


def measured(shape: tuple[int, int, int], side: int, kind: str, repeats: int) -> dict[str, Any]:
    """Milliseconds, best and median, of one forward and one backward; cpu is that of all threads."""
    field = Field(*(t.requires_grad_() for t in scene(shape, kind)))
    rays = one_view(shape, side)
    cotangent = torch.randn((1, 4, side, side), generator=torch.Generator().manual_seed(1))
    forward, backward, cpu = [], [], []
    for _ in range(repeats + 2):
        start, cpu_start = time.perf_counter(), time.process_time()
        image = render(*field, LIT, rays, threshold=THRESHOLD).rgba
        middle = time.perf_counter()
        torch.autograd.grad(image, field, cotangent)
        forward.append(1e3 * (middle - start))
        backward.append(1e3 * (time.perf_counter() - middle))
        cpu.append(1e3 * (time.process_time() - cpu_start))
    total = [a + b for a, b in zip(forward, backward, strict=True)]
    limit = CASES[shape, side]
    return {
        "grid": list(shape),
        "image": side,
        "scene": kind,
        **{
            f"{name}_ms": {"best": round(min(times[2:]), 3), "median": round(statistics.median(times[2:]), 3)}
            for name, times in (("forward", forward), ("backward", backward), ("total", total), ("cpu", cpu))
        },
        "limit_ms": limit,
        "within_limit": statistics.median(total[2:]) <= limit,
    }


def first_call() -> float:
    """Seconds of the first forward and backward in a process: compiling, or loading what was compiled."""
    start = time.perf_counter()
    field = Field(*(t.requires_grad_() for t in scene((4, 4, 4), "soft")))
    image = render(*field, LIT, one_view((4, 4, 4), 8)).rgba
    torch.autograd.grad(image.sum(), field)
    return time.perf_counter() - start


def compile_times() -> dict[str, float]:
    """Seconds of `first_call` in a new process, without and with a cache of compiled loops."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMPILE]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        runs = [subprocess.run(command, env=environment, check=True, capture_output=True) for _ in range(2)]
    compiled, cached = (round(float(run.stdout), 3) for run in runs)
    return {"compile_s": compiled, "cached_load_s": cached}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/render_cpu.json"))
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "cases": []}
    for shape, side in CASES:
        for kind in ("hard", "soft"):
            case = measured(shape, side, kind, arguments.repeats)
            result["cases"].append(case)
            print(
                shape, side, kind, case["forward_ms"], case["backward_ms"], case["total_ms"], case["cpu_ms"]
            )
    result["first_call"] = compile_times()
    print(result["first_call"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
