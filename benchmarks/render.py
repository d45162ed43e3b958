"""Speed and memory of the renderer's backends: `python -m benchmarks.render` writes
benchmarks/results/render.json on a GPU, render_cpu.json without one.

Times are those of the device: on a GPU taken by CUDA events, with the launches queued up beforehand, so
that they are what a CUDA graph would take. Worlds are rolling hills that fill most of the image.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from teacher.worlds.materials import ENGINE
from voxsds.files.disk import write_json
from voxsds.render.light import lit_faces
from voxsds.render.rays import RayBundle, ray_bundle
from voxsds.render.renderer import present_backends, render
from voxsds.world.cameras import Frame, look_at
from voxsds.world.field import Field

Shape = tuple[int, int, int]

THRESHOLDS = {"hard": 0.05, "soft": 0.05, "all drawn": 0.0}  # by scene; in training it is 0.1
CASES: dict[str, list[tuple[Shape, int]]] = {  # (grid, image side)
    "cpu": [((32, 24, 32), 128), ((64, 48, 64), 512)],
    "cuda": [((64, 48, 64), 512), ((64, 48, 64), 1024), ((256, 128, 256), 1024)],
}
CURVE = {"cpu": ([32, 64, 128], 256), "cuda": ([32, 64, 128, 256, 512], 1024)}  # (sides of cubes, image side)
LIMITS = {  # most milliseconds, forward and backward together: numba on two cores, Triton on one H100
    ("numba", (32, 24, 32), 128, "hard"): 8.0,
    ("numba", (32, 24, 32), 128, "soft"): 8.0,
    ("numba", (64, 48, 64), 512, "hard"): 150.0,
    ("numba", (64, 48, 64), 512, "soft"): 150.0,
    ("triton", (64, 48, 64), 1024, "all drawn"): 3.25,
    ("triton", (256, 128, 256), 1024, "all drawn"): 6.0,
}
QUEUED = 4_000_000  # clock cycles that a GPU waits while launches are queued: some 2 ms
COMPILE = "from benchmarks.render import first_call; print(first_call())"
LIT = lit_faces(ENGINE).float()


def scene(shape: Shape, kind: str, device: torch.device | str = "cpu") -> Field:
    """Rolling hills of logits +-5, or dissolved into a fog of random opacities where `kind` is 'soft'."""
    generator = torch.Generator(device).manual_seed(0)
    x, y, z = (
        torch.linspace(0, 1, n, device=device).reshape([-1 if i == axis else 1 for i in range(3)])
        for axis, n in enumerate(shape)
    )
    logits = torch.where(y < 0.42 + 0.18 * torch.sin(10.7 * x) * torch.cos(8.2 * z), 5.0, -5.0)
    if kind == "soft":
        logits = torch.randn(shape, generator=generator, device=device) * 2 - 2
    material = torch.randn((*shape, len(LIT)), generator=generator, device=device) * 2
    return Field(torch.sigmoid(logits), torch.softmax(material, dim=-1))


def one_view(shape: Shape, side: int, device: torch.device | str = "cpu") -> RayBundle:
    """A view from a corner above, which the world fills for the most part."""
    size, frame = np.array(shape), Frame((shape[0] / 2, shape[2] / 2))
    eye, target = frame.to_world(size * [1.3, 1.2, 1.4]), frame.to_world(size * [0.5, 0.33, 0.5])
    return ray_bundle([look_at(eye, target, 50.0, side, side)], frame, device=device)


class Steps:
    """The forward and the backward of one view, to be called in turns."""

    def __init__(self, shape: Shape, side: int, kind: str, backend: str, device: torch.device):
        self.field = Field(*(t.requires_grad_() for t in scene(shape, kind, device)))
        self.rays, self.lit = one_view(shape, side, device), LIT.to(device)
        self.threshold, self.backend = THRESHOLDS[kind], backend
        generator = torch.Generator().manual_seed(1)
        self.cotangent = torch.randn((1, 4, side, side), generator=generator).to(device)

    def forward(self) -> None:
        drawn = render(*self.field, self.lit, self.rays, threshold=self.threshold, backend=self.backend)
        self.image = drawn.rgba

    def backward(self) -> None:
        torch.autograd.grad(self.image, self.field, self.cotangent)


def milliseconds(call: Callable[[], None], device: torch.device) -> float:
    """How long the device takes for a call."""
    if device.type == "cpu":
        start = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - start)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(QUEUED)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def peak_mb(call: Callable[[], None], device: torch.device) -> float | None:
    """Largest memory during a call, with what was there before; None where the system does not tell.

    On a GPU, of torch's tensors; nvdiffrast has buffers of its own besides.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if not Path("/proc/self/clear_refs").exists():
        return None
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest memory of the process so far
    call()
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10, 1)


def measured(steps: Steps, device: torch.device, repeats: int) -> dict[str, Any]:
    """Medians of one forward and one backward, after two to warm up; cpu_ms is that of all threads."""
    forward, backward, cpu = [], [], []
    for _ in range(repeats + 2):
        start = time.process_time()
        forward.append(milliseconds(steps.forward, device))
        backward.append(milliseconds(steps.backward, device))
        cpu.append(1e3 * (time.process_time() - start))
    total = [a + b for a, b in zip(forward, backward, strict=True)][2:]

    def both() -> None:
        steps.forward()
        steps.backward()

    return {
        "forward_ms": round(statistics.median(forward[2:]), 3),
        "backward_ms": round(statistics.median(backward[2:]), 3),
        "total_ms": round(statistics.median(total), 3),
        "best_total_ms": round(min(total), 3),
        "peak_mb": peak_mb(both, device),
        **({"cpu_ms": round(statistics.median(cpu[2:]), 3)} if device.type == "cpu" else {}),
    }


def row(
    backend: str, device: torch.device, shape: Shape, side: int, kind: str, repeats: int
) -> dict[str, Any]:
    """One measurement; or why there is none, where the backend cannot draw that."""
    result: dict[str, Any] = {"backend": backend, "grid": list(shape), "px": side, "scene": kind}
    try:
        result |= measured(Steps(shape, side, kind, backend, device), device, repeats)
    except torch.cuda.OutOfMemoryError:
        return result | {"refused": "out of memory"}
    except ValueError as error:
        return result | {"refused": str(error)}
    finally:
        torch.cuda.empty_cache()
    if limit := LIMITS.get((backend, shape, side, kind)):
        result |= {"limit_ms": limit, "within_limit": result["total_ms"] <= limit}
    return result


def rows(backends: dict[str, torch.device], repeats: int) -> Iterator[dict[str, Any]]:
    """All cases in all scenes, then the curve over sizes of the grid in one."""
    for backend, device in backends.items():
        repeats = repeats if backend != "nvdiffrast" else max(3, repeats // 8)  # it peels layer by layer
        for shape, side in CASES[device.type]:
            for kind in THRESHOLDS:
                yield row(backend, device, shape, side, kind, repeats)
        cubes, side = CURVE[device.type]
        for n in cubes:
            yield {**row(backend, device, (n, n, n), side, "hard", max(3, repeats // 4)), "curve": True}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds and memory of every measurement, in a line each."""
    import pandas as pd  # not above: the memory of a measurement is that of the whole process

    found = pd.DataFrame(rows)
    found["grid"] = [" x ".join(map(str, row["grid"])) for row in rows]
    shown = ["backend", "grid", "px", "scene", "forward_ms", "backward_ms", "total_ms", "peak_mb", "refused"]
    return found.reindex(columns=shown).dropna(axis="columns", how="all").to_string(index=False, na_rep="")


def first_call() -> float:
    """Seconds of the first forward and backward in a process: compiling, or loading what was compiled."""
    start = time.perf_counter()
    steps = Steps((4, 4, 4), 8, "soft", "numba", torch.device("cpu"))
    steps.forward()
    steps.backward()
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
    on_gpu = torch.cuda.is_available()
    present = {name: device for name, device in present_backends().items() if name != "reference"}
    default = [name for name, device in present.items() if device.type == ("cuda" if on_gpu else "cpu")]
    name = "render.json" if on_gpu else "render_cpu.json"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results") / name)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--backends", nargs="+", choices=present, default=default)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    for found in rows({name: present[name] for name in arguments.backends}, arguments.repeats):
        result["rows"].append(found)
        print(*(f"{key} {value}" for key, value in found.items()), sep=", ", flush=True)
    print(table(result["rows"]))
    if "numba" in arguments.backends:
        result["first_call"] = compile_times()
        print(result["first_call"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
