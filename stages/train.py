"""Stage train: score distillation from random views, resumed where a killed run left off.

torchrun --nproc-per-node N -m stages.train shares each step's views out over N processes, a card each.
"""

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from stages.recipe import read_recipe
from stages.running import run_stage
from voxsds.blocks.limits import EditSettings, limits_of, prompted_parts
from voxsds.files.outputs import Outputs
from voxsds.grid.file import GridFile, read_grid, read_outline, write_grid
from voxsds.guidance.load import family, load_teacher
from voxsds.guidance.teacher import Question, Teacher
from voxsds.guidance.words import prompt_warning
from voxsds.train.checkpoint import (
    AlreadyTraining,
    Checkpoint,
    checkpoint_root,
    fingerprint,
    hold,
    imported_sources,
)
from voxsds.train.critic import Part
from voxsds.train.health import TrainingStopped
from voxsds.train.log import RunLog
from voxsds.train.memory import Load, free_bytes, tune_allocators
from voxsds.train.processes import RankLost, Ranks, joined, own_device, processes_here
from voxsds.train.recipe import Recipe
from voxsds.train.restraint import restrain
from voxsds.train.run import follow, keep
from voxsds.train.training import Scene, Training
from voxsds.world.datasets import read_dataset

OUT = Outputs()
DETERMINING = ("seed", "lr", "prompt", "guidance", "poses", "cameras", "render", "train", "edit")


def main(params: dict[str, Any]) -> None:
    """Score distillation from random views, resumed where a killed run left off."""
    recipe = read_recipe(params)
    tune_allocators()
    with joined() as ranks, hold(OUT.lock) if ranks.first else nullcontext():
        train(params, recipe, Path(f"datasets/{params['map_id']}"), ranks)


def train(params: dict[str, Any], recipe: Recipe, dataset: Path, ranks: Ranks) -> None:
    device = own_device()
    require_room(recipe, device, ranks)
    start = read_grid(OUT.grid, device)
    restrain(start.grid, limits_of(recipe.edit, start.grid.blocks(), start.palette))
    with ranks.first_alone():
        cache, texts = checkpoint_root() / "prompts", texts_of(params["prompt"], recipe)
        teacher = load_teacher(recipe.teacher, cache, device, texts)
        question = teacher.read(params["prompt"], recipe.teacher.ask.negative_prompt)
        parts = parts_of(recipe.edit, teacher, question, start)
    scene = Scene(start.palette, start.frame, read_dataset(dataset).cameras, parts)
    training = Training(start.grid, scene, teacher, question, recipe, ranks)
    if not ranks.first:
        follow(training)
        return
    warn(params["prompt"], teacher, recipe, start)
    if recipe.edit.preserve is None and training.preserve:
        print(f"the map is as {params['prompt']!r} says already: a light touch (edit.preserve 1)")
    determining = {name: params[name] for name in DETERMINING} | {"teacher": asdict(recipe.teacher)}
    weights = family(recipe.teacher.model).inputs(recipe.teacher.model)
    inputs = [OUT.grid, dataset / "metadata.json", *weights]
    run_id = fingerprint(determining, [*inputs, *imported_sources("voxsds")])
    with Checkpoint(checkpoint_root() / run_id) as checkpoint:
        log = RunLog(OUT.root, {"prompt": params["prompt"], "steps": recipe.train.steps})
        keep(training, log, checkpoint)
        run = {
            "prompt": params["prompt"],
            "seed": recipe.seed,
            "preserve": training.preserve,
            "steps": training.step,
            **training.now.temperatures,
        }
        write_grid(OUT.model, GridFile(training.grid, start.palette, start.frame, training.reach, run))
        checkpoint.remove()


def texts_of(prompt: str, recipe: Recipe) -> list[str]:
    """Every text that the teacher will be asked about."""
    texts = [prompt, recipe.teacher.ask.negative_prompt, *(box.prompt for box in recipe.edit.region or ())]
    return [text for text in texts if text is not None]


def parts_of(edit: EditSettings, teacher: Teacher, question: Question, start: GridFile) -> list[Part]:
    """The parts of the world that follow a prompt of their own, and what is left for the prompt of all."""
    parts = []
    for prompt, cells in prompted_parts(edit, start.grid.shape):
        asked = question
        if prompt is not None:
            asked = teacher.read(prompt, question.against)
            if warning := prompt_warning(prompt, teacher.vocabulary):
                print(f"warning: {warning}", file=sys.stderr)
        parts.append(Part(asked, torch.as_tensor(cells, device=start.reach.device)))
    return parts


def require_room(recipe: Recipe, device: str, ranks: Ranks) -> None:
    """ValueError, before anything large is read, where the memory of `device` is too small for the run."""
    grid = read_outline(OUT.grid)
    load = Load.of(recipe, grid.shape, grid.materials, grid.levels, torch.device(device), ranks.size)
    load.require(free_bytes(device, processes_here()), device)


def warn(prompt: str, teacher: Teacher, recipe: Recipe, start: GridFile) -> None:
    logit = start.grid.initial_occupancy.abs().max().item()
    warnings = (
        prompt_warning(prompt, teacher.vocabulary),
        recipe.flip_warning(start.grid.levels, logit),
    )
    for warning in filter(None, warnings):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage("train", main, AlreadyTraining, RankLost, TrainingStopped)
