"""One run of the suite: trained, exported and measured in this process, without files."""

import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from benchmarks.baselines import PRIMARIES, FreeColourGrid, random_edit
from benchmarks.cases import Case, Params
from benchmarks.figures import Blocks, Figures, changes, precision
from stages.recipe import read_recipe
from teacher.worlds.materials import ENGINE
from voxsds.blocks.counts import EditCounts
from voxsds.blocks.limits import EditSettings, Limits, limits_of
from voxsds.export.harden import ExportSettings, export_blocks
from voxsds.files.params import read_section
from voxsds.grid.file import GridFile
from voxsds.grid.logits import DifferentiableVoxelGrid, GridSettings
from voxsds.guidance.load import TeacherSettings, load_teacher
from voxsds.guidance.teacher import Teacher
from voxsds.render.draw import draw, psnr
from voxsds.train.checkpoint import checkpoint_root
from voxsds.train.health import TrainingStopped
from voxsds.train.restraint import restrain
from voxsds.train.training import Scene, Training, train
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.held_out import held_out_cameras
from voxsds.validate.run import soft_images
from voxsds.validate.views import ValidateSettings
from voxsds.world.cameras import Camera
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import BlockMap, read_map
from voxsds.world.poses import PoseLaw

Colours = Literal["materials", "free"]  # what a voxel can look like while the grid is trained


@dataclass(frozen=True, eq=False)
class Job:
    """One case under one recipe."""

    recipe: str  # its name, for people
    case: Case
    params: Params  # of params.yaml, but for what the case decides
    colours: Colours = "materials"

    def settings(self) -> Params:
        """All parameters of the run."""
        case = self.case
        return {**self.params, "prompt": case.prompt, "map_id": case.map, "seed": case.seed}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run came to."""

    figures: Figures
    blocks: Blocks | None  # of the result; None where the training was stopped


def run(job: Job, device: str) -> Outcome:
    """Trains, exports and measures; a training that stops itself is an outcome too.

    Networks, maps and captions stay in memory for the next run of this process.
    """
    params = job.settings()
    world, _ = _world(job.case.map)
    limits = limits_of(read_section(params, "edit", EditSettings), world.blocks, world.palette)
    training = _training(job, params, limits, device)
    started = time.monotonic()
    try:
        probes = [record.probe["margin"] for record in train(training) if record.probe]
    except TrainingStopped as error:
        return Outcome({"failed": str(error), "seconds": time.monotonic() - started}, None)
    facts: Figures = {"probe_margin": {"start": probes[0], "end": probes[-1]}}
    facts["preserve"] = training.preserve
    facts["seconds"] = round(time.monotonic() - started, 2)
    grid, reach = training.grid.cpu(), training.reach.cpu()
    settings = read_section(params, "export", ExportSettings)
    blocks, counts = export_blocks(grid, reach, world.blocks, settings, limits)
    trained = GridFile(grid, training.scene.palette, world.frame, reach, training.now.temperatures)
    facts["export"] = {name: value for name, value in vars(counts).items() if value}
    return Outcome({**_measured(params, job.case, world, blocks, trained), **facts}, blocks)


def _training(job: Job, params: Params, limits: Limits, device: str) -> Training:
    """The run at its start."""
    recipe = read_recipe(params)
    world, cameras = _world(job.case.map)
    settings = read_section(params, "grid", GridSettings)
    if job.colours == "free":
        grid, palette = FreeColourGrid.from_world(world.blocks, world.palette, settings), PRIMARIES
    else:
        grid = DifferentiableVoxelGrid.from_blocks(world.blocks, len(world.palette), settings)
        palette = world.palette
        restrain(grid, limits)
    teacher = _networks(_loaded_alike(recipe.teacher), device)
    question = teacher.read(job.case.prompt, recipe.teacher.ask.negative_prompt)
    return Training(grid.to(device), Scene(palette, world.frame, cameras), teacher, question, recipe)


def _measured(params: Params, case: Case, world: BlockMap, blocks: Blocks, trained: GridFile) -> Figures:
    """All figures of a result, and those of the start and of a random edit of the same size."""
    settings = read_section(params, "validate", ValidateSettings)
    evaluator = _evaluator(settings.evaluator)
    texts = [case.prompt, *_distractors(case.prompt, settings.distractors, settings.distractor_seed)]
    law = read_section(params, "poses", PoseLaw)
    dataset = _world(case.map)[1]
    shape, size = world.blocks.shape, settings.image_size
    cameras = held_out_cameras(settings.ring, law, shape, world.frame, size, dataset)
    figures = changes(world.blocks, blocks, case)
    rng = np.random.default_rng([case.seed, crc32(case.name.encode())])
    elsewhere = random_edit(world.blocks, EditCounts(**figures["edit"]), len(world.palette), rng)
    images = {
        name: draw(BlockMap(what, world.palette, world.frame), cameras)
        for name, what in (("after", blocks), ("no_edit", world.blocks), ("random_edit", elsewhere))
    }
    soft = soft_images(trained, cameras)
    return {
        **precision(evaluator, images["after"], texts),
        "soft_hard_psnr_db": psnr(soft, images["after"]),
        **figures,
        "no_edit": precision(evaluator, images["no_edit"], texts),
        "random_edit": precision(evaluator, images["random_edit"], texts),
    }


@cache
def _world(map_id: int) -> tuple[BlockMap, tuple[Camera, ...]]:
    return read_map(Path(f"maps/{map_id}/map.json"), ENGINE), read_dataset(Path(f"datasets/{map_id}")).cameras


def _loaded_alike(settings: TeacherSettings) -> TeacherSettings:
    """The same for all settings that need the same networks, and ask them otherwise."""
    ask = replace(
        settings.ask, method="sds", negative_prompt=None, guidance_scale=1.0, guidance_end=None,
        guidance_rescale=0.0, weight="as", pixel_clip=None, t_min=(0.0, 0.0), t_max=(1.0, 1.0),
    )  # fmt: skip
    return replace(settings, ask=ask)


@cache
def _networks(settings: TeacherSettings, device: str) -> Teacher:
    return load_teacher(settings, checkpoint_root() / "prompts", device)


@cache
def _evaluator(folder: str) -> Evaluator:
    return Evaluator.load(Path(folder))


@cache
def _distractors(prompt: str, count: int, seed: int) -> tuple[str, ...]:
    return distractor_captions(prompt, count, seed)
