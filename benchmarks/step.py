"""How long a step of SDXL-Lightning takes and where: `python -m benchmarks.step --params FOLDER/params.yaml`.

FOLDER is what `benchmarks.make_random_sdxl` wrote. Steps are those of `voxsds.train.training`, one view each,
timed by the clock on the wall; after them, in the same process, the original's way (benchmarks/original.py)
and what the arithmetic alone would take at the rate of a large matrix product. The original's networks come
last because the memory of a step is all that torch has reserved. Writes benchmarks/results/step.json, where
rows of sizes that are not asked for stay.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import machine
from benchmarks.original import Original, plain_networks
from teacher.worlds.materials import ENGINE
from voxsds.files.disk import read_json, write_json
from voxsds.files.params import read_params, read_section, read_value
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.ask import Method
from voxsds.guidance.autoencoder import posterior_mean
from voxsds.guidance.fast.graphs import Replayed
from voxsds.guidance.load import TeacherSettings
from voxsds.guidance.sdxl.settings import SdxlModel
from voxsds.guidance.sdxl.teacher import SdxlTeacher, answer
from voxsds.train.memory import tune_allocators
from voxsds.train.recipe import Recipe, RenderSettings, TrainSettings
from voxsds.train.training import Scene, Training
from voxsds.train.views import CameraSettings
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map
from voxsds.world.poses import PoseLaw

WARM_UP = 6  # steps, in which graphs are recorded
LIMITS = {512: 45.0, 1024: 130.0}  # most milliseconds of a step on an H100, by pixels
GUIDED = 7.5  # of the original, and of SDXL without Lightning
RENDERER = ("render", "render backward")  # parts of a step


class Case(NamedTuple):
    px: int
    guidance_scale: float
    low_memory: bool = False
    method: Method = "sds"


def recipe(params: dict[str, Any], case: Case, steps: int) -> Recipe:
    """That of `params` with one view a step."""
    train = read_section(params, "train", TrainSettings)
    name = read_value(params, "guidance", str)
    settings = read_section(params["teachers"], name, TeacherSettings, "teachers")
    if not isinstance(settings.model, SdxlModel):
        raise ValueError(f"teacher {name} is of kind {settings.model.kind}: choose one of kind sdxl to time")
    knobs = {"resolution": case.px, "guidance_scale": case.guidance_scale, "method": case.method}
    return Recipe(
        read_value(params, "seed", int),
        read_value(params, "lr", float),
        replace(train, views=1, steps=steps + WARM_UP),
        read_section(params, "cameras", CameraSettings),
        read_section(params, "poses", PoseLaw),
        read_section(params, "render", RenderSettings),
        TeacherSettings(
            replace(settings.model, low_memory=case.low_memory),
            replace(settings.ask, **knobs),
        ),
    )


def training(params: dict[str, Any], teacher: SdxlTeacher, chosen: Recipe) -> Training:
    """A run on the map of `params`, with `teacher`'s networks at the recipe's resolution."""
    number = params["map_id"]
    world = read_map(f"maps/{number}/map.json", ENGINE)
    cameras = read_dataset(Path(f"datasets/{number}")).cameras
    settings = read_section(params, "grid", GridSettings)
    grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings)
    scene = Scene(world.palette, world.frame, cameras)
    question = teacher.read(params["prompt"], chosen.teacher.ask.negative_prompt)
    return Training(grid.to(teacher.device), scene, asked(teacher, chosen.teacher), question, chosen)


def asked(teacher: SdxlTeacher, settings: TeacherSettings) -> SdxlTeacher:
    """`teacher`'s networks asked as `settings` say, with no graph recorded yet: memory is told apart."""
    model, denoise = settings.model, partial(answer, teacher.unet)
    assert isinstance(model, SdxlModel)
    return replace(
        teacher,
        model=model,
        denoise=Replayed(denoise) if teacher.device == "cuda" else denoise,
        autoencoder=replace(
            teacher.autoencoder,
            resolution=settings.ask.resolution,
            mean=posterior_mean(teacher.autoencoder.model, model.low_memory),
        ),
    )


def seconds(call: Callable[[], object], device: str) -> float:
    """On the wall, until the device has done it."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def timed_steps(run: Training, device: str, steps: int) -> dict[str, Any]:
    """Medians over `steps` steps; those with a probe are longer, and few.

    The memory is all that torch reserved, the weights, graphs and caches too.
    """
    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    first = seconds(run.advance, device)
    for _ in range(WARM_UP - 1):
        run.advance()
    wall = [1000 * seconds(run.advance, device) for _ in range(steps)]
    parts = run.clock.medians(steps)
    ms = statistics.median(wall)
    return {
        "ms": round(ms, 2),
        "first_step_s": round(first, 1),
        "peak_gb": round(torch.cuda.max_memory_reserved() / 2**30, 2) if device == "cuda" else None,
        "parts": {name: round(value, 2) for name, value in parts.items()},
        "renderer_share": round(sum(parts[part] for part in RENDERER) / ms, 4),
    }


def arithmetic(unet: nn.Module, vae: nn.Module, run: Training, rows: int) -> dict[str, float]:
    """TFLOP of a step's networks: one forward of the UNet over `rows`, the encoder's forward and backward."""
    teacher: Any = run.critic.teacher
    side, device = teacher.resolution // teacher.autoencoder.factor, teacher.device
    noisy = torch.randn(rows, 4, side, side, device=device, dtype=teacher.unet.dtype)
    given = run.critic.question.encoded.batch(1, noisy.dtype, 2 - rows)
    images = torch.rand(1, 3, teacher.resolution, teacher.resolution, device=device, requires_grad=True)
    with FlopCounterMode(display=False) as of_unet, torch.no_grad():
        answer(unet, noisy, torch.full((rows,), 499, device=device), *given)  # pyright: ignore[reportArgumentType]
    with FlopCounterMode(display=False) as of_vae:
        vae.encode(images).latent_dist.mean.sum().backward()  # pyright: ignore[reportCallIssue]
    counts = {"unet": of_unet, "encoder": of_vae}
    return {name: counted.get_total_flops() / 1e12 for name, counted in counts.items()}


def matrix_rate(device: str) -> float:
    """TFLOP a second of a large bfloat16 matrix product; of a small one on a CPU."""
    n = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    took = [seconds(lambda: a @ b, device) for _ in range(12)]
    return 2 * n**3 / 1e12 / statistics.median(took[2:])


def original_ms(original: Original, run: Training, device: str) -> float:
    """Median of the original's step with the views of `run`."""
    took = [1000 * seconds(lambda: original.step(run), device) for _ in range(7)]
    return round(statistics.median(took[2:]), 1)


def show(found: dict[str, Any]) -> None:
    parts = found["parts"]
    less = ", low memory" if found["low_memory"] else ""
    case = f"{found['px']} px, {found['method']}, guidance {found['guidance_scale']}{less}"
    print(f"\n{case}: {found['ms']} ms a step")
    for name, value in parts.items():
        print(f"  {name:18}{value:8.2f} ms")
    rest = {key: value for key, value in found.items() if key not in ("parts", "ms", *Case._fields)}
    print(*(f"  {key} {value}" for key, value in rest.items()), sep="\n", flush=True)


def other_rows(path: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """What was measured before of other sizes."""
    rows = read_json(path)["rows"] if path.is_file() else []
    return [row for row in rows if row["px"] not in sizes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--px", type=int, nargs="+", default=[512, 768, 1024])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/step.json"))
    arguments = parser.parse_args()
    tune_allocators()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    params = read_params(arguments.params)
    cases = [Case(px, scale) for px in arguments.px for scale in (1.0, GUIDED)]
    cases.append(Case(max(arguments.px), 1.0, method="jump"))  # up to three forwards of the UNet
    cases.append(Case(max(arguments.px), GUIDED, low_memory=True))  # the last: there is no way back from it
    first = recipe(params, cases[0], arguments.steps)
    cache, prompt = arguments.out.parent / ".prompts", params["prompt"]
    assert isinstance(first.teacher.model, SdxlModel)
    teacher = SdxlTeacher.load(first.teacher.model, first.teacher.ask, cache, device, [prompt])
    result: dict[str, Any] = {"machine": machine(), "matrix_tflops": round(matrix_rate(device), 1)}
    result["rows"] = other_rows(arguments.out, arguments.px)
    for case in cases:
        run = training(params, teacher, recipe(params, case, arguments.steps))
        row = {**case._asdict(), **timed_steps(run, device, arguments.steps), "limit_ms": LIMITS.get(case.px)}
        row |= {name: result["machine"][name] for name in ("commit", "time")}
        result["rows"].append(row)
        show(row)
        write_json(arguments.out, result)
        del run  # and its graphs
    original, rate = Original(*plain_networks(teacher), GUIDED), result["matrix_tflops"]
    for px in arguments.px:
        run = training(params, teacher, recipe(params, Case(px, GUIDED), arguments.steps))
        ms = original_ms(original, run, device)
        print(f"\n{px} px, the original's way: {ms} ms a step", flush=True)
        for row in (row for row in result["rows"] if row["px"] == px):
            rows = 1 if row["guidance_scale"] == 1 else 2
            tflop = arithmetic(original.unet, original.vae, run, rows)
            row["arithmetic_ms"] = round(1000 * sum(tflop.values()) / rate, 1)
            row["tflop"] = {name: round(value, 2) for name, value in tflop.items()}
            row |= {"original_ms": ms, "original_renderer": original.backend}
            row["times_faster"] = round(ms / row["ms"], 2)
        write_json(arguments.out, result)


if __name__ == "__main__":
    main()
