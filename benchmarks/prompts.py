"""The pipeline on eight prompts with the parameters of params.yaml: every run is reported, whatever it shows.

    python -m benchmarks.prompts                    about two minutes a prompt on two cores

writes benchmarks/results/prompts.json and docs/images/prompts.png. The JSON and the sheet
are written anew after every prompt, so a run that is stopped leaves what it has.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.machine import machine
from voxsds.files import read_image, read_json, write_image, write_json
from voxsds.worlds import PROMPTS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("benchmarks/results/prompts.json")
SHEET = Path("docs/images/prompts.png")
STAGES = ("gradcheck", "init_grid", "train", "export", "validate")
SHEET_WIDTH = 1400  # pixels


def run_prompt(params: dict[str, Any], folder: Path) -> dict[str, Any]:
    """All stages in `folder`, a workspace of their own; the figures of the report."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    world = f"maps/{params['map_id']}"
    shutil.copytree(world, folder / world)
    for name in ("datasets", "models"):
        (folder / name).symlink_to(ROOT / name)
    for stage in STAGES:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment, check=True)
    return read_json(folder / "out_local/report/metrics.json")


def summary(runs: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Means over the prompts of what counts."""
    quality = [run["quality"] for run in runs.values()]
    return {
        "prompts": len(runs),
        "r_precision_before": mean(q["r_precision"]["before"] for q in quality),
        "r_precision_after": mean(q["r_precision"]["after"] for q in quality),
        "soft_hard_psnr_db": mean(q["soft_hard_psnr_db"] for q in quality),
        "floating": sum(run["edit"]["floating"] for run in runs.values()),
        "seconds": mean(run["run"]["seconds"] for run in runs.values()),
    }


def stacked(pictures: list[Path]) -> np.ndarray:
    """The before-and-after sheets of all prompts, one under the other."""
    rows = []
    for path in pictures:
        image = Image.fromarray((read_image(path) * 255).round().astype(np.uint8))
        rows.append(np.asarray(image.resize((SHEET_WIDTH, round(image.height * SHEET_WIDTH / image.width)))))
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help="other than params.yaml's, for a quick look")
    parser.add_argument("--only", nargs="*", default=list(PROMPTS), help="some of the prompts")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--sheet", type=Path, default=SHEET)
    args = parser.parse_args()
    params = yaml.safe_load(Path("params.yaml").read_text())
    if args.steps:
        params["train"]["steps"] = args.steps
    about, runs, pictures = machine(), {}, []
    with tempfile.TemporaryDirectory() as temporary:
        for number, prompt in enumerate(args.only):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            runs[prompt] = run_prompt(params | {"prompt": prompt}, folder)
            pictures.append(folder / "out_local/report/before_after.png")
            write_json(args.out, {"machine": about, "summary": summary(runs), "runs": runs})
            write_image(args.sheet, stacked(pictures))
            print(prompt, runs[prompt]["quality"], flush=True)
    print(summary(runs))


if __name__ == "__main__":
    main()
