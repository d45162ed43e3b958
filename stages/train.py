"""Stage train: score distillation from random views, resumed where a killed run left off."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from voxsds.checkpoint import (
    AlreadyTraining,
    Checkpoint,
    checkpoint_root,
    fingerprint,
    hold,
    imported_sources,
)
from voxsds.datasets import read_dataset
from voxsds.gridfile import GridFile, read_grid, write_grid
from voxsds.guidance.teacher import Teacher, TeacherSettings, load_teacher
from voxsds.guidance.words import prompt_warning
from voxsds.health import TrainingStopped
from voxsds.params import read_params, read_section, read_value
from voxsds.recipe import Recipe, RenderSettings, TrainSettings
from voxsds.runlog import RunLog, keep
from voxsds.training import Scene, Training
from voxsds.views import CameraSettings

OUT = Path("out_local")
DETERMINING = ("seed", "lr", "prompt", "guidance", "cameras", "render", "train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    params = read_params(parser.parse_args().params)
    recipe = Recipe(
        read_value(params, "seed", int),
        read_value(params, "lr", float),
        read_section(params, "train", TrainSettings),
        read_section(params, "cameras", CameraSettings),
        read_section(params, "render", RenderSettings),
        read_section(
            read_value(params, "teachers", dict), params["guidance"], TeacherSettings, "params.yaml: teachers"
        ),
    )
    with hold(Path("out_local/ckpt/outputs.lock")):  # this checkout's outputs, whatever the run
        train(params, recipe, Path(f"datasets/{params['map_id']}"))


def train(params: dict[str, Any], recipe: Recipe, dataset: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    teacher = load_teacher(recipe.teacher, params["prompt"], checkpoint_root() / "prompts", device)
    start = read_grid(OUT / "grid", device)
    warn(params["prompt"], teacher, recipe, start)
    scene = Scene(start.palette, start.frame, read_dataset(dataset).cameras)
    training = Training(start.grid, scene, teacher, recipe)
    determining = {name: params[name] for name in DETERMINING} | {"teacher": asdict(recipe.teacher)}
    teacher_files = recipe.teacher.model, recipe.teacher.unet, recipe.teacher.lora, recipe.teacher.vae
    weights = [Path(p) for p in teacher_files if p]
    inputs = [OUT / "grid", dataset / "metadata.json", *filter(Path.exists, weights)]
    run_id = fingerprint(determining, [*inputs, *imported_sources("voxsds")])
    with Checkpoint(checkpoint_root() / run_id) as checkpoint:
        log = RunLog(OUT, {"prompt": params["prompt"], "steps": recipe.train.steps})
        keep(training, log, checkpoint)
        run = {
            "prompt": params["prompt"],
            "seed": recipe.seed,
            "steps": training.step,
            **training.temperatures(),
        }
        write_grid(OUT / "model", GridFile(training.grid, start.palette, start.frame, training.reach, run))
        checkpoint.remove()


def warn(prompt: str, teacher: Teacher, recipe: Recipe, start: GridFile) -> None:
    logit = start.grid.initial_occupancy.abs().max().item()
    warnings = (
        prompt_warning(prompt, teacher.vocabulary),
        recipe.flip_warning(len(start.grid.levels), logit),
    )
    for warning in filter(None, warnings):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, AlreadyTraining, TrainingStopped) as error:
        sys.exit(f"train: {error}")
