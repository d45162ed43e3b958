"""metadata.json: poses come back as they were, and a view that cannot be trusted is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.files.disk import read_image
from voxsds.world.cameras import Camera, look_at
from voxsds.world.datasets import read_dataset, write_dataset


def cameras(count: int = 3, size: int = 6) -> list[Camera]:
    eyes = [np.array([40.0 * np.cos(i), 25.0, 40.0 * np.sin(i)]) for i in range(count)]
    return [look_at(eye, np.array([0.0, 5.0, 0.0]), 45.0, size, size, f"v{i}") for i, eye in enumerate(eyes)]


def images(count: int = 3, size: int = 6) -> list[np.ndarray]:
    return [np.full((size, size, 3), i / 10) for i in range(count)]


def sound_metadata(folder: Path) -> dict[str, Any]:
    write_dataset(folder, cameras(), images(), "capture")
    return json.loads((folder / "metadata.json").read_text())


def changed(**keys: Any) -> Callable[[dict], Any]:
    return lambda raw: {**raw, **keys}


def view(**keys: Any) -> Callable[[dict], Any]:
    """Sound metadata in which some keys of view 1 are changed; ... removes one."""

    def change(raw: dict) -> dict:
        raw["views"][1] = {k: v for k, v in {**raw["views"][1], **keys}.items() if v is not ...}
        return raw

    return change


def entry(key: str, index: int, value: Any) -> Callable[[dict], Any]:
    """Sound metadata in which one number of a matrix of view 1 is another."""

    def change(raw: dict) -> dict:
        raw["views"][1][key][index] = value
        return raw

    return change


def matrix(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict], Any]:
    """Sound metadata in which a matrix of view 1, as it acts on columns, is changed."""

    def breaking(raw: dict) -> dict:
        mended = np.array(raw["views"][1][key]).reshape(4, 4).T
        raw["views"][1][key] = change(mended).T.ravel().tolist()
        return raw

    return breaking


def size(width: Any, height: Any) -> Callable[[dict], Any]:
    return changed(imageSize={"width": width, "height": height})


def intrinsics(**keys: Any) -> Callable[[dict], Any]:
    return lambda raw: view(intrinsics={**raw["views"][1]["intrinsics"], **keys})(raw)


def text(old: str, new: str) -> Callable[[dict], Any]:
    return lambda raw: json.dumps(raw).replace(old, new, 1)


SCALED, MIRRORED = np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([-1.0, 1.0, 1.0, 1.0])
# What is broken: how, the place that the error must name, and a piece of its remedy.
BROKEN: dict[str, tuple[Callable[[dict], Any], str, str]] = {
    "not JSON": (lambda raw: "<html>", "line 1, column 1", "Export it again"),
    "NaN in a matrix": (text("45.0", "NaN"), "holds NaN", "finite number"),
    "a list": (lambda raw: [raw], "metadata.json is [", "must be an object"),
    "no image size": (changed(imageSize=None), "imageSize is null", "must be an object"),
    "width zero": (size(0, 6), "imageSize.width is 0", "1 or more"),
    "no height": (changed(imageSize={"width": 6}), "imageSize.height is missing", "size in pixels"),
    "height in words": (size(6, "6"), 'imageSize.height is "6"', "integer"),
    "no views": (lambda raw: {k: v for k, v in raw.items() if k != "views"}, "views is missing", "add"),
    "views empty": (changed(views=[], viewCount=0), "views is empty", "at least one view"),
    "views an object": (changed(views={}), "views is {}", "must be a list"),
    "too few views": (changed(viewCount=24), "viewCount is 24, but there are 3", "cut off"),
    "view a number": (changed(views=[1], viewCount=1), "view 0 is 1", "must be an object"),
    "no view matrix": (view(viewMatrix=...), "view 1 (v1): viewMatrix is missing", "16 numbers"),
    "no projection": (view(projectionMatrix=...), "(v1): projectionMatrix is missing", "column by column"),
    "matrix of rows": (view(viewMatrix=[[1, 0, 0, 0]] * 4), "viewMatrix has 4 entries", "16 numbers"),
    "nine numbers": (view(viewMatrix=[1] * 9), "viewMatrix has 9 entries", "16 numbers"),
    "matrix an object": (view(viewMatrix={"0": 1}), 'viewMatrix is {"0": 1}', "list of 16 numbers"),
    "null in a matrix": (entry("viewMatrix", 5, None), "viewMatrix[5] is null", "finite number"),
    "text in a matrix": (entry("projectionMatrix", 0, "2"), 'projectionMatrix[0] is "2"', "finite number"),
    "true in a matrix": (entry("viewMatrix", 15, True), "viewMatrix[15] is true", "finite number"),
    "giant in a matrix": (entry("viewMatrix", 3, 10**400), "viewMatrix[3] is 1000", "finite number"),
    "zero matrix": (view(viewMatrix=[0] * 16), "viewMatrix cannot be inverted", "export the view again"),
    "singular": (matrix("projectionMatrix", lambda m: m * [[1], [0], [1], [1]]), "be inverted", "again"),
    "pose by rows": (matrix("viewMatrix", np.transpose), "(v1): viewMatrix has the last row", "transpose it"),
    "pose of perspective": (entry("viewMatrix", 3, 0.5), "last row [0.5, 0.0, 0.0, 1.0]", "mend it"),
    "scaled pose": (matrix("viewMatrix", lambda m: SCALED @ m), "no rotation and shift (off by 3)", "scale"),
    "mirrored pose": (matrix("viewMatrix", lambda m: MIRRORED @ m), "mirrors the world", "sign of one axis"),
    "projection by rows": (matrix("projectionMatrix", np.transpose), "instead of 0, 0, -1, 0", "transpose"),
    "orthographic": (view(projectionMatrix=np.eye(4).ravel().tolist()), "[0.0, 0.0, 0.0, 1.0]", "OpenGL"),
    "upside down": (matrix("projectionMatrix", lambda m: m * [[1], [-1], [1], [1]]), "flips", "over 0"),
    "skewed": (entry("projectionMatrix", 4, 0.3), "projectionMatrix skews", "without these terms"),
    "another product": (entry("viewProjectionMatrix", 13, 99.0), "not projectionMatrix x view", "leave it"),
    "broken product": (view(viewProjectionMatrix=[1]), "viewProjectionMatrix has 1 entries", "16 numbers"),
    "position of two": (view(position=[1, 2]), "(v1): position has 2 entries", "3 numbers"),
    "up in words": (view(up="y"), '(v1): up is "y"', "list of 3 numbers"),
    "intrinsics a list": (view(intrinsics=[]), "(v1): intrinsics is []", "must be an object"),
    "field of view zero": (intrinsics(fovYDegrees=0), "intrinsics.fovYDegrees is 0", "over 0"),
    "near behind": (intrinsics(near=-1), "intrinsics.near is -1", "over 0"),
    "far before near": (intrinsics(near=10, far=5), "near 10 and far 5", "0 < near < far"),
    "same id twice": (view(id="v0"), "view 1 has the id 'v0' of view 0", "rename one"),
    "id a number": (view(id=1), "view 1 has id 1", "give a name"),
    "image a number": (view(rgbPath=7), "view 1: rgbPath is 7", "relative to the dataset"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_metadata_is_refused_with_place_and_remedy(case: str, tmp_path: Path) -> None:
    breaking, place, remedy = BROKEN[case]
    raw = breaking(sound_metadata(tmp_path))
    (tmp_path / "metadata.json").write_text(raw if isinstance(raw, str) else json.dumps(raw))
    with pytest.raises(ValueError) as error:
        read_dataset(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "metadata.json"))
    assert place in str(error.value)
    assert remedy in str(error.value)


def test_matrices_are_stored_column_by_column(tmp_path: Path) -> None:
    """The shift of a view matrix is its last column: numbers 12, 13 and 14 of the file."""
    camera = cameras(1)[0]
    write_dataset(tmp_path, [camera], images(1), "capture")
    (stored,) = json.loads((tmp_path / "metadata.json").read_text())["views"]
    assert stored["viewMatrix"][12:] == pytest.approx([*camera.view[:3, 3], 1.0])
    assert stored["projectionMatrix"][11] == -1.0
    assert stored["position"] == pytest.approx([40.0, 25.0, 0.0])
    assert stored["intrinsics"]["fovYDegrees"] == pytest.approx(45.0)
    assert np.dot(stored["forward"], [-40.0, -20.0, 0.0]) == pytest.approx(np.hypot(40.0, 20.0))


def test_images_and_poses_come_back(tmp_path: Path) -> None:
    write_dataset(tmp_path, cameras(), images(), "capture")
    dataset = read_dataset(tmp_path)
    assert dataset.raw["captureId"] == "capture"
    for given_camera, camera, path, image in zip(
        cameras(), dataset.cameras, dataset.image_paths, images(), strict=True
    ):
        assert (camera.id, camera.width, camera.height) == (given_camera.id, 6, 6)
        np.testing.assert_array_equal(camera.view, given_camera.view)
        np.testing.assert_array_equal(camera.projection, given_camera.projection)
        assert path is not None
        np.testing.assert_allclose(read_image(path), image, atol=1 / 510)


def test_single_precision_and_missing_extras_are_accepted(tmp_path: Path) -> None:
    """What another exporter writes: float32 matrices, no ids, no intrinsics, no product, no images."""
    raw = sound_metadata(tmp_path)
    for exported in raw["views"]:
        for key in ("id", "intrinsics", "viewProjectionMatrix", "rgbPath"):
            del exported[key]
        for key in ("viewMatrix", "projectionMatrix"):
            exported[key] = [float(f"{number:.6g}") for number in exported[key]]
    del raw["viewCount"]
    (tmp_path / "metadata.json").write_text(json.dumps(raw))
    dataset = read_dataset(tmp_path)
    assert [camera.id for camera in dataset.cameras] == ["view_0", "view_1", "view_2"]
    assert dataset.image_paths == (None, None, None)
    assert dataset.cameras[0].near == pytest.approx(0.1, rel=0.02)


def test_a_failed_write_leaves_the_old_dataset_whole(tmp_path: Path) -> None:
    write_dataset(tmp_path, cameras(), images(), "old")
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))}
    spoilt = [*images()[:2], np.full((6, 6, 3), np.nan)]
    with pytest.raises(ValueError, match="108 values of the image are not finite"):
        write_dataset(tmp_path, cameras(), spoilt, "new")
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))} == before


@pytest.mark.parametrize(
    ("count", "edge", "message"),
    [
        (2, 6, "3 cameras and 2 images; give one image a camera"),
        (3, 5, "view 0 has an image of shape .*5, 5, 3.* all must be 6 x 6 pixels of RGB"),
    ],
)
def test_images_must_fit_the_cameras(count: int, edge: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path, cameras(), images(count, edge), "capture")
    with pytest.raises(ValueError, match="view 1 has the id 'v0' of view 0; rename one"):
        write_dataset(tmp_path, [cameras()[0]] * 2, images(2), "capture")
    assert not (tmp_path / "metadata.json").exists()


@settings(max_examples=15, deadline=None)
@given(
    azimuth=st.floats(0, 360),
    elevation=st.floats(-80, 80),
    distance=st.floats(1, 500),
    fov=st.floats(10, 120),
    edges=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_any_camera_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    azimuth: float,
    elevation: float,
    distance: float,
    fov: float,
    edges: tuple[int, int],
) -> None:
    a, e = np.radians([azimuth, elevation])
    eye = distance * np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])
    camera = look_at(eye, np.zeros(3), fov, *edges, far=2000.0)
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, [camera], [np.zeros((edges[1], edges[0], 3))], "capture")
    (again,) = read_dataset(folder).cameras
    np.testing.assert_array_equal(again.view, camera.view)
    np.testing.assert_array_equal(again.projection, camera.projection)
    assert (again.width, again.height, again.near, again.far) == (*edges, camera.near, camera.far)
