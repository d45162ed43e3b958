"""Captioned renders of generated worlds, the only data that the teacher and the evaluator ever see.

    python -m teacher.render_dataset --style teacher --out teacher/data/teacher

writes images.npy (N, 3, R, R) uint8, and captions.json with, for each world, its wordings, its canonical
caption and whether it is held out for testing. Image i belongs to world i // views. soft.npy has renders
of half-transparent, undecided worlds such as the optimisation passes through; only the VAE sees them.
"""

import argparse
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from scipy.ndimage import gaussian_filter

from voxsds.cameras import Frame
from voxsds.field import Field, solid_field
from voxsds.files import write_json
from voxsds.materials import DEFAULT_PALETTE
from voxsds.params import read_params, read_section
from voxsds.poses import PoseLaw, sample_pose
from voxsds.rays import ray_bundle
from voxsds.render import render
from voxsds.shading import lit_faces
from voxsds.worlds.captions import canonical_caption, caption
from voxsds.worlds.styles import STYLES
from voxsds.worlds.world import World, generate

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LIT = torch.as_tensor(lit_faces(DEFAULT_PALETTE), dtype=torch.float32)


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
    solids = len(DEFAULT_PALETTE) - 1
    material = 4.0 * (blocks[..., None] == np.arange(1, solids + 1)) + rng.normal(
        size=(*blocks.shape, solids)
    )
    material = np.exp(material / np.exp(rng.uniform(np.log(0.2), np.log(2.0))))
    material /= material.sum(-1, keepdims=True)
    return Field(
        torch.as_tensor(opacity, dtype=torch.float32), torch.as_tensor(material, dtype=torch.float32)
    )


class Sample(NamedTuple):
    """One world: what is said of it, what is drawn of it, and a softened version of some."""

    facts: dict
    world: World
    soft: Field | None


def sample(job: tuple[int, str, DatasetSettings]) -> Sample:
    """World number `index` of a dataset."""
    index, style_name, settings = job
    rng = np.random.default_rng([settings.seed, index])
    style = STYLES[style_name]
    size = (64, 48, 64) if rng.random() < settings.large_share else (32, 24, 32)
    world = generate(settings.seed + index, style, size)
    captions = [world.caption] + [caption(world.attributes, style, rng) for _ in range(settings.wordings - 1)]
    facts = {
        "captions": captions,
        "canonical": canonical_caption(world.attributes),
        "attributes": asdict(world.attributes),
        "test": bool(rng.random() < settings.test_share),
    }
    return Sample(facts, world, softened(world.blocks, rng) if index < settings.soft_worlds else None)


def field_of(world: World) -> Field:
    field = solid_field(world.blocks, len(DEFAULT_PALETTE) - 1, device=DEVICE)
    if world.opacity is None:
        return field
    return Field(torch.as_tensor(world.opacity, dtype=torch.float32), field.material)


def draw(field: Field, views: int, law: PoseLaw, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """`views` renders from random poses, uint8 (views, 3, R, R)."""
    shape = field.opacity.shape
    frame = Frame((shape[0] / 2, shape[2] / 2))
    cameras = [sample_pose(law, tuple(shape), frame, resolution, rng) for _ in range(views)]
    rays = ray_bundle(cameras, frame, device=DEVICE)
    rgba = render(field.opacity.to(DEVICE), field.material.to(DEVICE), LIT, rays, threshold=0.02).rgba
    return (rgba[:, :3].clamp(0, 1) * 255).round().byte().cpu().numpy()


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
    rng = np.random.default_rng(settings.seed)
    shape = (settings.worlds * settings.views, 3, settings.resolution, settings.resolution)
    images = open_memmap(args.out / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    facts, soft = [], []
    jobs = [(index, args.style, settings) for index in range(settings.worlds)]
    with multiprocessing.get_context("spawn").Pool(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for index, made in enumerate(pool.imap(sample, jobs, chunksize=16)):
            rows = slice(index * settings.views, (index + 1) * settings.views)
            images[rows] = draw(field_of(made.world), settings.views, law, settings.resolution, rng)
            if made.soft is not None:
                soft.append(draw(made.soft, settings.views, law, settings.resolution, rng))
            facts.append(made.facts)
    images.flush()
    np.save(args.out / "soft.npy", np.concatenate(soft) if soft else images[:0])
    write_json(args.out / "captions.json", {"views": settings.views, "worlds": facts})
    print(f"{args.out}: {settings.worlds} worlds, {len(images)} clean and {sum(map(len, soft))} soft renders")


if __name__ == "__main__":
    main()
