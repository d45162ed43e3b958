"""The shipped maps and datasets are what their script writes, and what the README says they are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.make_shipped_worlds import REPOSITORY, SHIPPED, shipped_cameras, shipped_world
from scripts.photograph import photograph
from teacher.worlds.materials import ENGINE
from voxsds.files.disk import read_image
from voxsds.validate.criteria import LEAST_AGREEMENT
from voxsds.validate.photographs import Photograph, compare
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map, write_map
from voxsds.world.palette import AIR

REMAKE = "run python -m scripts.make_shipped_worlds and look at what changed"
BOTH = pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])


@BOTH
def test_shipped_files_are_what_the_script_writes(number: int, tmp_path: Path) -> None:
    world = shipped_world(SHIPPED[number])
    write_map(tmp_path / "map.json", world)
    shipped = REPOSITORY / f"maps/{number}/map.json"
    assert (tmp_path / "map.json").read_bytes() == shipped.read_bytes(), REMAKE
    cameras = read_dataset(REPOSITORY / f"datasets/{number}").cameras
    for made, camera in zip(shipped_cameras(world), cameras, strict=True):
        # The C library's sine and the vector width of a machine show in the last digits.
        np.testing.assert_allclose(made.view, camera.view, atol=1e-9, err_msg=REMAKE)
        np.testing.assert_allclose(made.projection, camera.projection, atol=1e-9, err_msg=REMAKE)


@BOTH
def test_our_renderer_draws_the_shipped_maps_as_the_other_renderer_did(number: int) -> None:
    """Measured: 55.4 and 47.7 dB away from edges, 0.08 % and 0.25 % of all pixels differ."""
    dataset = read_dataset(REPOSITORY / f"datasets/{number}")
    taken = [
        Photograph(camera, torch.from_numpy(read_image(path)).permute(2, 0, 1))
        for camera, path in zip(dataset.cameras, dataset.image_paths, strict=True)
        if path is not None
    ]
    found = compare(read_map(REPOSITORY / f"maps/{number}/map.json", ENGINE), taken)
    assert found.views == len(dataset.cameras)
    assert found.flat_psnr_db >= LEAST_AGREEMENT and found.differing < 0.005


@pytest.mark.browser
@BOTH
def test_shipped_images_are_photographs_by_the_other_renderer(number: int, chromium) -> None:
    """Another version of Chromium may round an edge the other way."""
    dataset = read_dataset(REPOSITORY / f"datasets/{number}")
    images = photograph(chromium, read_map(REPOSITORY / f"maps/{number}/map.json", ENGINE), dataset.cameras)
    for image, path in zip(images, dataset.image_paths, strict=True):
        assert path is not None
        wrong = (np.abs(image / 255 - read_image(path)) > 1.5 / 255).any(axis=-1)
        assert wrong.mean() < 2e-3, f"{path}: {wrong.sum()} wrong pixels; {REMAKE}"


@pytest.mark.parametrize(("number", "fewest", "most"), [(1, 4_000, 8_000), (2, 75_000, 95_000)])
def test_shipped_maps_are_solid_ground_with_sky_above(number: int, fewest: int, most: int) -> None:
    world = read_map(REPOSITORY / f"maps/{number}/map.json", ENGINE)
    assert world.blocks.shape == SHIPPED[number].size
    assert fewest < (world.blocks != AIR).sum() < most
    assert (world.blocks[:, 0] != AIR).all()
    assert (world.blocks[:, -1] == AIR).all()


def test_the_large_map_is_varied() -> None:
    world = read_map(REPOSITORY / "maps/2/map.json", ENGINE)
    names = {ENGINE.names[kind] for kind in np.unique(world.blocks)}
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
