"""Captioned renders of generated worlds, the only data that the teacher and the evaluator ever see.

    python -m teacher.render_dataset --style teacher --out teacher/data/teacher

writes images.npy (N, 3, R, R) uint8, towards.npy (N, 3) with the directions to their cameras (east, up,
south), and captions.json with, for each world, its wordings, its canonical caption and whether it is held out
for testing. Image i belongs to world i // views. soft.npy has renders
of half-transparent, undecided worlds such as the optimisation passes through; only the VAE sees them.
Every world is made and drawn by one process of a pool, from random numbers of its own.
"""

import argparse
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.lib.format import open_memmap
from scipy.ndimage import gaussian_filter

from teacher.worlds.materials import ENGINE
from teacher.worlds.world import World, generate
from voxsds.captions.sentences import canonical_caption, caption
from voxsds.captions.styles import STYLES
from voxsds.files.disk import write_json
from voxsds.files.params import read_params, read_section
from voxsds.guidance.sdxl.viewpoint import towards_camera
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.world.cameras import Frame
from voxsds.world.field import Field, solid_field
from voxsds.world.poses import PoseLaw, sample_pose

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_CUDA = 12  # processes, each with a context of its own on the card; on a CPU one for each core
LIT = lit_faces(ENGINE).float()


@dataclass(frozen=True)
class DatasetSettings:
    worlds: int
    views: int  # renders of each world
    wordings: int  # captions of each world
    soft_worlds: int  # the first of the worlds, rendered once more after softening
    large_share: float  # worlds of twice the size
    test_share: float  # worlds kept out of training
    resolution: int  # pixels
    seed: int


def softened(blocks: np.ndarray, rng: np.random.Generator) -> Field:
    """A half-decided version of a world: smooth noise on all logits, then a random temperature."""
    occupied = blocks > 0
    noise = gaussian_filter(rng.normal(size=blocks.shape), rng.uniform(0.5, 2.0))
    logits = np.where(occupied, 3.0, -3.0) + rng.uniform(0.5, 3.0) * noise / noise.std()
    opacity = 1 / (1 + np.exp(-logits / np.exp(rng.uniform(np.log(0.15), 0))))
    solids = len(ENGINE) - 1
    material = 4.0 * (blocks[..., None] == np.arange(1, solids + 1)) + rng.normal(
        size=(*blocks.shape, solids)
    )
    material = np.exp(material / np.exp(rng.uniform(np.log(0.2), np.log(2.0))))
    material /= material.sum(-1, keepdims=True)
    return Field(
        torch.as_tensor(opacity, dtype=torch.float32), torch.as_tensor(material, dtype=torch.float32)
    )


class Job(NamedTuple):
    """World number `index` of a dataset, whose images belong into the file `images`."""

    index: int
    style: str
    settings: DatasetSettings
    law: PoseLaw
    images: Path


class Made(NamedTuple):
    """Facts about a world, its views, and renders of its softened version, for some."""

    facts: dict
    towards: Float[np.ndarray, "views 3"]  # to the cameras
    soft: UInt8[np.ndarray, "views 3 size size"] | None


def make(job: Job) -> Made:
    """Generates one world, writes its renders, and tells the rest."""
    index, settings, style = job.index, job.settings, STYLES[job.style]
    rng = np.random.default_rng([settings.seed, index])
    size = (64, 48, 64) if rng.random() < settings.large_share else (32, 24, 32)
    world = generate(settings.seed + index, style, size)
    captions = [world.caption] + [caption(world.attributes, style, rng) for _ in range(settings.wordings - 1)]
    facts = {
        "captions": captions,
        "canonical": canonical_caption(world.attributes),
        "attributes": asdict(world.attributes),
        "test": bool(rng.random() < settings.test_share),
    }
    images = np.load(job.images, mmap_mode="r+")
    renders, towards = draw(field_of(world), job, rng)
    images[index * settings.views : (index + 1) * settings.views] = renders
    soft = draw(softened(world.blocks, rng), job, rng)[0] if index < settings.soft_worlds else None
    return Made(facts, towards, soft)


def field_of(world: World) -> Field:
    field = solid_field(world.blocks, len(ENGINE) - 1, device=DEVICE)
    if world.opacity is None:
        return field
    return Field(torch.as_tensor(world.opacity, dtype=torch.float32), field.material)


def draw(
    field: Field, job: Job, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "views 3 size size"], Float[np.ndarray, "views 3"]]:
    """Renders from random poses, and the directions to the cameras."""
    shape, settings = tuple(field.opacity.shape), job.settings
    frame = Frame((shape[0] / 2, shape[2] / 2))
    cameras = [sample_pose(job.law, shape, frame, settings.resolution, rng) for _ in range(settings.views)]
    rays = ray_bundle(cameras, frame, device=DEVICE)
    rgba = render(field.opacity.to(DEVICE), field.material.to(DEVICE), LIT, rays, threshold=0.02).rgba
    pixels = (rgba[:, :3].clamp(0, 1) * 255).round().byte()
    return pixels.cpu().numpy(), towards_camera(rays).cpu().numpy()


def _one_thread() -> None:
    """Each process of the pool keeps to one core."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--style", choices=sorted(STYLES), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("teacher/params.yaml"))
    args = parser.parse_args()
    params = read_params(args.params)
    settings = read_section(params["datasets"], args.style, DatasetSettings, where=str(args.params))
    law = read_section(params, "poses", PoseLaw, where=str(args.params))

    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "images.npy"
    shape = (settings.worlds * settings.views, 3, settings.resolution, settings.resolution)
    open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    jobs = [Job(index, args.style, settings, law, path) for index in range(settings.worlds)]
    processes = ON_CUDA if DEVICE.type == "cuda" else None
    with multiprocessing.get_context("spawn").Pool(processes, initializer=_one_thread) as pool:
        made = pool.map(make, jobs, chunksize=16)
    np.save(args.out / "towards.npy", np.concatenate([towards for _, towards, _ in made]))
    soft = [renders for *_, renders in made if renders is not None]
    np.save(args.out / "soft.npy", np.concatenate(soft) if soft else np.zeros((0, *shape[1:]), np.uint8))
    facts = [facts for facts, *_ in made]
    write_json(args.out / "captions.json", {"views": settings.views, "worlds": facts})
    print(f"{args.out}: {settings.worlds} worlds, {shape[0]} clean and {sum(map(len, soft))} soft renders")


if __name__ == "__main__":
    main()
