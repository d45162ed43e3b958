"""Methods and penalties on an edit whose result is known, with the teacher that knows it.

    python -m benchmarks.known_edit        six minutes on one core

writes benchmarks/results/known_edit.json: three seeds of every variant. With an ideal teacher all that is
missing in the result is the doing of the method, the penalties and the export. The edit is that of the tests.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.machine import machine
from teacher.worlds.materials import ENGINE
from tests.helpers.edit import (
    FRAME,
    HELD_OUT,
    house_on_grass,
    recipe,
    teacher_settings,
    tower_on_snow,
    training,
)
from voxsds.blocks.neighbours import floating
from voxsds.blocks.surface import visible
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.disk import write_json
from voxsds.files.params import read_params, read_section
from voxsds.render.draw import Placed, draw, psnr
from voxsds.train.recipe import Penalties, Recipe, Span
from voxsds.train.training import train
from voxsds.world.maps import BlockMap
from voxsds.world.palette import AIR

OUT = Path("benchmarks/results/known_edit.json")
PENALTIES = {"sparsity": 0.001, "entropy": 0.0001, "smoothness": 0.0, "binarisation": 0.0, "patchwork": 0.3}


def variants(seed: int) -> dict[str, Recipe]:
    """What is compared, by name; 300 steps each."""

    def run(method: str = "sds", penalties: dict[str, float] | None = None, **train: Any) -> Recipe:
        teacher = teacher_settings(method=method)
        weights = Penalties(**{**PENALTIES, **(penalties or {})})
        return recipe(seed, teacher=teacher, steps=300, penalties=weights, **train)

    return {
        "sds": run(),
        "jump": run("jump"),
        "no patchwork": run(penalties={"patchwork": 0.0}),
        "no penalty": run(penalties=dict.fromkeys(PENALTIES, 0.0)),
        "patchwork without a limit": run(patchwork_limit=None),
        "patchwork up to 1.2": run(patchwork_limit=1.2),
        "cold": run(occupancy_temperature=Span(1.0, 0.02), material_temperature=Span(2.0, 0.05)),
    }


def measured(rules: Recipe, export: ExportSettings) -> dict[str, float]:
    """Shares of the visible blocks that came out as wanted, and how like the pictures are.

    `added` asks whether there is a block, `material` whether the visible blocks of the wanted world are of
    the right material: on shaded sides the colours of several are within the teacher's tolerance.
    """
    start, target = house_on_grass(), tower_on_snow()
    run = training(start, target, rules)
    for _ in train(run):
        pass
    result, _ = export_blocks(run.grid, run.reach, start, export)
    seen = visible(start) | visible(target)
    was, wanted = start != AIR, target != AIR
    right = {
        "removed": (result == AIR)[seen & was & ~wanted],
        "added": (result != AIR)[seen & ~was & wanted],
        "repainted": (result == target)[seen & was & wanted & (start != target)],
        "left_alone": (result == target)[seen & was & (start == target)],
        "material": (result == target)[visible(target)],
    }
    got = draw(BlockMap(result, ENGINE, FRAME), HELD_OUT)
    with torch.no_grad():
        soft = draw(Placed(run.grid.field(**run.now.temperatures), ENGINE, FRAME), HELD_OUT)
    return {
        **{name: float(share.mean()) for name, share in right.items()},
        "target_db": psnr(got, draw(BlockMap(target, ENGINE, FRAME), HELD_OUT)),
        "soft_hard_psnr_db": psnr(soft, got),
        "floating": float(floating(result).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    export = read_section(read_params("params.yaml"), "export", ExportSettings)
    about, rows = machine(), {}
    for name in variants(0):
        runs = pd.DataFrame([measured(variants(seed)[name], export) for seed in args.seeds])
        rows[name] = {"mean": runs.mean().round(4).to_dict(), "runs": runs.to_dict("records")}
        write_json(args.out, {"machine": about, "seeds": args.seeds, "variants": rows})
        print(f"{name}: {rows[name]['mean']}", flush=True)
    print(pd.DataFrame({name: found["mean"] for name, found in rows.items()}).T.to_string())


if __name__ == "__main__":
    main()
