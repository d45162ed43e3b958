"""A grid on disk: out_local/grid and out_local/model are folders of this kind.

grid.safetensors   occupancy.initial, material.initial (channel first), occupancy.residual.<stride>,
                   material.residual.<stride>, reach (how well the run saw each voxel), free (voxels that
                   may change; absent where all may)
grid.json          levels, materials and their colours, place in the world, and `run`: what made it
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from voxsds.files.disk import read_json, write_bytes, write_json
from voxsds.grid.logits import DifferentiableVoxelGrid
from voxsds.world.cameras import Frame
from voxsds.world.palette import Palette


@dataclass(frozen=True, eq=False)
class GridFile:
    """A grid with palette, frame and reach: enough to draw it, to train it further or to export it."""

    grid: DifferentiableVoxelGrid
    palette: Palette
    frame: Frame
    reach: Float[Tensor, "X Y Z"]  # best transmittance with which any ray of the run arrived, 0 = never
    run: dict[str, Any] = field(default_factory=dict)  # prompt, temperatures, ... of the run that made it


def write_grid(folder: Path, saved: GridFile) -> None:
    """Writes `saved` into `folder`, each file atomically; equal grids give equal bytes."""
    grid = saved.grid
    tensors = {
        "occupancy.initial": grid.initial_occupancy,
        "material.initial": grid.initial_material,
        "reach": saved.reach,
    }
    for stride, occupancy, material in zip(
        grid.levels, grid.occupancy_residuals, grid.material_residuals, strict=True
    ):
        tensors[f"occupancy.residual.{stride}"] = occupancy
        tensors[f"material.residual.{stride}"] = material
    if grid.free is not None:
        tensors["free"] = grid.free
    write_bytes(
        folder / "grid.safetensors", save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    )
    description = {
        "levels": list(grid.levels),
        "materials": list(saved.palette.names),
        "albedo": saved.palette.albedo.tolist(),
        "frame": {"center": list(saved.frame.center), "scale": saved.frame.scale},
        "run": saved.run,
    }
    write_json(folder / "grid.json", description)


@dataclass(frozen=True)
class Outline:
    """Sizes of a grid on disk, known without reading its tensors."""

    shape: tuple[int, int, int]
    materials: int  # air counted
    levels: tuple[int, ...]


def read_outline(folder: Path) -> Outline:
    """Outline of the grid in `folder`; ValueError where there is none."""
    description, path = read_json(folder / "grid.json"), folder / "grid.safetensors"
    try:
        with safe_open(path, "pt") as file:
            x, y, z = file.get_slice("occupancy.initial").get_shape()
        return Outline((x, y, z), len(description["materials"]), tuple(description["levels"]))
    except (OSError, KeyError, SafetensorError) as error:
        raise _not_ours(path, error) from error


def read_grid(folder: Path, device: str = "cpu") -> GridFile:
    """The grid in `folder`; ValueError where a file is missing or not what `write_grid` writes."""
    description = read_json(folder / "grid.json")
    path = folder / "grid.safetensors"
    try:
        tensors = {name: tensor.to(device) for name, tensor in load(path.read_bytes()).items()}
        grid = DifferentiableVoxelGrid(
            tensors["occupancy.initial"], tensors["material.initial"], description["levels"]
        )
        with torch.no_grad():
            for stride, occupancy, material in zip(
                grid.levels, grid.occupancy_residuals, grid.material_residuals, strict=True
            ):
                occupancy.copy_(tensors[f"occupancy.residual.{stride}"])
                material.copy_(tensors[f"material.residual.{stride}"])
        if "free" in tensors:
            grid.hold(tensors["free"])
        palette = Palette(tuple(description["materials"]), np.array(description["albedo"]))
        frame = Frame(tuple(description["frame"]["center"]), description["frame"]["scale"])
        return GridFile(grid, palette, frame, tensors["reach"], description["run"])
    except (OSError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise _not_ours(path, error) from error


def _not_ours(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: not a grid that this version wrote ({error!r}); run the stage that makes it again"
    )
