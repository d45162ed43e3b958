"""Our renderer against images by another: what is compared, and that a wrong image is found out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from teacher.worlds.materials import DIRT
from tests.helpers.small_run import dataset, grassland, snow_with_post, world
from voxsds.render.draw import PSNR_CEILING, draw
from voxsds.validate.photographs import MOST_VIEWS, Photograph, away_from_edges, chosen_views, compare


def photographs(blocks: np.ndarray) -> list[Photograph]:
    of = world(blocks)
    images = draw(of, dataset())
    return [Photograph(camera, image) for camera, image in zip(dataset(), images, strict=True)]


def test_our_own_images_agree_entirely():
    found = compare(world(snow_with_post()), photographs(snow_with_post()))
    assert found.psnr_db == found.flat_psnr_db == PSNR_CEILING and found.differing == 0
    assert found.views == len(dataset()) and 0.5 < found.flat_share < 1


@pytest.mark.parametrize("change", ["another material", "a missing block", "another light", "another view"])
def test_what_is_wrong_in_the_images_is_found(change):
    blocks = snow_with_post()
    if change == "another material":
        blocks[:, 0, :] = DIRT
    if change == "a missing block":
        blocks[4, 1:5, 4] = 0
    taken = photographs(blocks)
    if change == "another light":
        taken = [replace(p, image=(0.9 * p.image)) for p in taken]
    if change == "another view":
        taken = [replace(p, camera=q.camera) for p, q in zip(taken, taken[1:] + taken[:1], strict=True)]
    found = compare(world(snow_with_post()), taken)
    assert found.flat_psnr_db < 40 and found.differing > 0.01


def test_an_edge_that_is_off_by_a_pixel_counts_as_an_edge():
    """The world is green below the middle of the image; the other renderer puts the border a row lower."""
    image = torch.zeros(1, 3, 9, 9)
    image[:, 1, 5:] = 1
    flat = away_from_edges(image)[0]
    assert flat[:4].all() and not flat[4:6].any() and flat[6:].all()


def test_images_of_another_size_are_compared_at_that_size():
    views = [camera.resized(50, 50) for camera in dataset()[:2]]
    of = world(snow_with_post())
    images = draw(of, views)
    taken = [Photograph(camera, image) for camera, image in zip(dataset()[:2], images, strict=True)]
    assert compare(of, taken).flat_psnr_db == PSNR_CEILING


def test_of_many_views_some_are_compared_evenly():
    assert chosen_views(3) == [0, 1, 2] and chosen_views(0) == []
    chosen = chosen_views(1000)
    assert len(chosen) == MOST_VIEWS and chosen[0] == 0 and max(np.diff(chosen)) <= 42


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(ValueError, match="no photograph"):
        compare(world(grassland()), [])
