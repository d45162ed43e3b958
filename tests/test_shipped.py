"""The shipped maps and datasets are what their script writes, and what the README says they are."""

from pathlib import Path

import numpy as np
import pytest

from scripts.make_shipped_worlds import REPOSITORY, SHIPPED, write_shipped
from voxsds.datasets import read_dataset
from voxsds.files import read_image
from voxsds.maps import read_map
from voxsds.materials import AIR, DEFAULT_PALETTE

REMAKE = "run python -m scripts.make_shipped_worlds and look at what changed"


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_shipped_files_are_what_the_script_writes(number: int, tmp_path: Path) -> None:
    write_shipped(number, tmp_path)
    name = f"maps/{number}/map.json"
    assert (tmp_path / name).read_bytes() == (REPOSITORY / name).read_bytes(), REMAKE
    made, shipped = (read_dataset(root / f"datasets/{number}") for root in (tmp_path, REPOSITORY))
    for i, camera in enumerate(shipped.cameras):
        # The C library's sine and the vector width of a machine show in the last digits.
        np.testing.assert_allclose(made.cameras[i].view, camera.view, atol=1e-9, err_msg=REMAKE)
        np.testing.assert_allclose(made.cameras[i].projection, camera.projection, atol=1e-9, err_msg=REMAKE)
    for ours, theirs in zip(made.image_paths, shipped.image_paths, strict=True):
        assert ours is not None and theirs is not None
        wrong = (np.abs(read_image(ours) - read_image(theirs)) > 1.5 / 255).any(axis=-1)
        assert wrong.mean() < 1e-4, f"{theirs}: {wrong.sum()} wrong pixels; {REMAKE}"


@pytest.mark.parametrize(("number", "fewest", "most"), [(1, 4_000, 8_000), (2, 75_000, 95_000)])
def test_shipped_maps_are_solid_ground_with_sky_above(number: int, fewest: int, most: int) -> None:
    world = read_map(REPOSITORY / f"maps/{number}/map.json")
    assert world.blocks.shape == SHIPPED[number].size
    assert fewest < (world.blocks != AIR).sum() < most
    assert (world.blocks[:, 0] != AIR).all()
    assert (world.blocks[:, -1] == AIR).all()


def test_the_large_map_is_varied() -> None:
    world = read_map(REPOSITORY / "maps/2/map.json")
    names = {DEFAULT_PALETTE.names[kind] for kind in np.unique(world.blocks)}
    assert names >= {"Air", "Grass", "Dirt", "Stone", "Plank", "Sand", "Water"}


@pytest.mark.parametrize("number", SHIPPED)
def test_shipped_views_stand_all_around(number: int) -> None:
    dataset, size = read_dataset(REPOSITORY / f"datasets/{number}"), SHIPPED[number].size
    assert len(dataset.cameras) >= 24
    eyes = np.array([camera.position for camera in dataset.cameras])
    azimuths = np.sort(np.degrees(np.arctan2(eyes[:, 2], eyes[:, 0])) % 360)
    assert np.diff(azimuths, append=azimuths[0] + 360).max() < 15.1
    assert (eyes[:, 1] > 0).all()
    assert np.linalg.norm(eyes, axis=1).min() > 2 * max(size) / np.sqrt(2)  # outside the world
    for path in dataset.image_paths:
        assert path is not None
        assert read_image(path).shape == (256, 256, 3)
