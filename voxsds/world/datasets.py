"""metadata.json, strictly: the posed views of a world, and their images beside it.

Matrices are 16 numbers, column by column. A camera looks down its own -z; projections are OpenGL-style.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from voxsds.files.disk import atomic_path, read_json, write_image, write_json
from voxsds.files.expect import as_list, as_numbers, as_object, as_size, is_number, shown
from voxsds.world.cameras import Camera

FORMAT_VERSION = 1
TEST_VIEWS = 3  # the first of the dataset: those of the test images
# Exporters write single precision, some with few digits; a wrong convention is off by far more.
RIGID_TOLERANCE = 1e-3
PRODUCT_TOLERANCE = 1e-3  # of viewProjection against projection x view, of the largest entry
MATRICES = ("viewMatrix", "projectionMatrix")


@dataclass(frozen=True, eq=False)
class Dataset:
    """The posed views of one world, all of one image size."""

    cameras: tuple[Camera, ...]
    image_paths: tuple[Path | None, ...]  # of the views' RGB images, which need not exist
    raw: dict[str, Any]  # metadata.json as it was


def read_dataset(folder: Path | str) -> Dataset:
    """The views in `folder`/metadata.json; ValueError names file, view and remedy where one is not sound."""
    folder = Path(folder)
    path = folder / "metadata.json"
    raw = as_object(read_json(path), str(path))
    size = as_object(raw.get("imageSize"), f"{path}: imageSize")
    width, height = (as_size(size, side, f"{path}: imageSize", "pixels") for side in ("width", "height"))
    views = as_list(raw, "views", str(path))
    if not views:
        raise ValueError(f"{path}: views is empty; export at least one view")
    if raw.get("viewCount", len(views)) != len(views):
        raise ValueError(f"{path}: viewCount is {shown(raw['viewCount'])}, but there are {len(views)} views; "
                         "is the file cut off? Export it again")  # fmt: skip
    places = [f"{path}: view {i}" for i in range(len(views))]
    cameras = [
        _camera(as_object(view, place), f"view_{i}", width, height, place)
        for i, (view, place) in enumerate(zip(views, places, strict=True))
    ]
    _refuse_same_ids(cameras, places)
    images = [_image_path(view, folder, place) for view, place in zip(views, places, strict=True)]
    return Dataset(tuple(cameras), tuple(images), raw)


def write_dataset(
    folder: Path | str,
    cameras: Sequence[Camera],
    images: Sequence[Shaped[np.ndarray, "height width 3"]],  # as `write_image` takes them
    capture_id: str,
    captured_at: str = "1970-01-01T00:00:00Z",  # a clock would make equal datasets differ
) -> None:
    """Writes metadata.json and images/view_00.png, ...; where anything fails, the old files stay.

    Every file is complete beside its place before the first is moved there, metadata.json as the last.
    """
    folder = Path(folder)
    cameras = [replace(camera, id=camera.id or f"view_{i:02d}") for i, camera in enumerate(cameras)]
    _check_views(folder, cameras, images)
    metadata = {
        "formatVersion": FORMAT_VERSION,
        "exportedAt": captured_at,
        "imageSize": {"width": cameras[0].width, "height": cameras[0].height},
        "viewCount": len(cameras),
        "captureId": capture_id,
        "views": [_view(camera, i, captured_at) for i, camera in enumerate(cameras)],
    }
    with ExitStack() as files:  # leaves in the opposite order
        write_json(files.enter_context(atomic_path(folder / "metadata.json")), metadata)
        for i, image in enumerate(images):
            write_image(files.enter_context(atomic_path(folder / _image_name(i))), image)


def _check_views(folder: Path, cameras: Sequence[Camera], images: Sequence[np.ndarray]) -> None:
    if not cameras or len(cameras) != len(images):
        raise ValueError(
            f"{folder}: {len(cameras)} cameras and {len(images)} images; give one image a camera"
        )
    _refuse_same_ids(cameras, [f"{folder}: view {i}" for i in range(len(cameras))])
    expected = cameras[0].height, cameras[0].width, 3
    for i, (camera, image) in enumerate(zip(cameras, images, strict=True)):
        if image.shape != expected or (camera.height, camera.width, 3) != expected:
            raise ValueError(
                f"{folder}: view {i} has an image of shape {image.shape} and a camera of "
                f"{camera.width} x {camera.height}; all must be {expected[1]} x {expected[0]} pixels of RGB"
            )


def _view(camera: Camera, index: int, captured_at: str) -> dict[str, Any]:
    right, up, backward = camera.view[:3, :3]
    return {
        "id": camera.id,
        "index": index,
        "capturedAt": captured_at,
        "position": camera.position,
        "forward": -backward,
        "up": up,
        "right": right,
        "intrinsics": {
            "fovYDegrees": float(np.degrees(2 * np.arctan(1 / camera.projection[1, 1]))),
            "aspect": float(camera.projection[1, 1] / camera.projection[0, 0]),
            "near": camera.near,
            "far": camera.far,
        },
        "viewMatrix": camera.view.flatten("F"),
        "projectionMatrix": camera.projection.flatten("F"),
        "viewProjectionMatrix": (camera.projection @ camera.view).flatten("F"),
        "rgbPath": _image_name(index),
        "depthPath": None,
        "normalPath": None,
    }


def _image_name(index: int) -> str:
    return f"images/view_{index:02d}.png"


# Reading, piece by piece. `where` only goes into messages.


def _camera(view: dict[str, Any], default_id: str, width: int, height: int, where: str) -> Camera:
    id = view.get("id", default_id)
    if not isinstance(id, str) or not id:
        raise ValueError(f'{where} has id {shown(id)}; give a name such as "{default_id}"')
    where = f"{where} ({id})"
    for key in ("position", "forward", "up", "right"):
        if key in view:
            as_numbers(view[key], 3, f"{where}: {key}")
    pose, projection = (_matrix(view, key, where) for key in MATRICES)
    _check_rigid(pose, f"{where}: viewMatrix")
    _check_perspective(projection, f"{where}: projectionMatrix")
    _check_product(view, projection @ pose, where)
    near, far = _depth_range(view, projection, where)
    return Camera(id, pose, projection, width, height, near, far)


def _matrix(view: dict[str, Any], key: str, where: str) -> Float[np.ndarray, "4 4"]:
    if key not in view:
        raise ValueError(f"{where}: {key} is missing; add its 16 numbers, column by column")
    matrix = np.ascontiguousarray(as_numbers(view[key], 16, f"{where}: {key}").reshape(4, 4).T)
    with np.errstate(over="ignore"):
        determinant = np.linalg.det(matrix)
    if not np.isfinite(determinant) or abs(determinant) < 1e-12:
        raise ValueError(f"{where}: {key} cannot be inverted; export the view again")
    return matrix


def _check_rigid(pose: Float[np.ndarray, "4 4"], where: str) -> None:
    """World to camera must be a rotation and a shift: then the rays and their lengths are right."""
    if not np.allclose(pose[3], [0, 0, 0, 1], atol=RIGID_TOLERANCE):
        hint = "it is stored row by row: transpose it" if np.allclose(pose[:3, 3], 0) else "mend it"
        raise ValueError(f"{where} has the last row {pose[3].tolist()} instead of 0, 0, 0, 1; {hint}")
    rotation = pose[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if not error < RIGID_TOLERANCE:
        raise ValueError(
            f"{where} is no rotation and shift (off by {error:.2g}); take the scale or shear out, "
            "worldScale of the map belongs to the blocks"
        )
    if np.linalg.det(rotation) < 0:
        raise ValueError(f"{where} mirrors the world; turn the sign of one axis")


def _check_perspective(projection: Float[np.ndarray, "4 4"], where: str) -> None:
    if not np.allclose(projection[3], [0, 0, -1, 0], atol=1e-6):
        transposed = np.allclose(projection[:, 3], [0, 0, -1, 0], atol=1e-6)
        hint = "it is stored row by row: transpose it" if transposed else "give an OpenGL perspective"
        raise ValueError(f"{where} has the last row {projection[3].tolist()} instead of 0, 0, -1, 0; {hint}")
    if min(projection[0, 0], projection[1, 1]) <= 0:
        raise ValueError(f"{where} flips the image; its first and sixth numbers must be over 0")
    if np.abs(projection[[0, 0, 1, 1], [1, 3, 0, 3]]).max() > 1e-6:
        raise ValueError(f"{where} skews or shifts the image; give a projection without these terms")


def _check_product(view: dict[str, Any], product: Float[np.ndarray, "4 4"], where: str) -> None:
    if view.get("viewProjectionMatrix") is None:
        return
    given = _matrix(view, "viewProjectionMatrix", where)
    error = np.abs(given - product).max() / np.abs(product).max()
    if error > PRODUCT_TOLERANCE:
        raise ValueError(
            f"{where}: viewProjectionMatrix is not projectionMatrix x viewMatrix (off by {error:.2g} of its "
            "largest entry); export the view again or leave it out"
        )


def _depth_range(
    view: dict[str, Any], projection: Float[np.ndarray, "4 4"], where: str
) -> tuple[float, float]:
    """Near and far plane: as the intrinsics say, else as the projection has them (P22, P23)."""
    intrinsics = as_object(view.get("intrinsics", {}), f"{where}: intrinsics")
    for key, value in intrinsics.items():
        if key in ("fovYDegrees", "aspect", "near", "far") and not (is_number(value) and value > 0):
            raise ValueError(f"{where}: intrinsics.{key} is {shown(value)}; give a number over 0")
    a, b = projection[2, 2:]
    # P22 = -(f + n) / (f - n), P23 = -2 f n / (f - n): so n = P23 / (P22 - 1), f = P23 / (P22 + 1)
    near, far = (b / (a + sign) if a != -sign else np.inf for sign in (-1, 1))
    near, far = float(intrinsics.get("near", near)), float(intrinsics.get("far", far))
    if not 0 < near < far:
        raise ValueError(
            f"{where}: near {near:.4g} and far {far:.4g} are no depth range; give 0 < near < far"
        )
    return near, far


def _refuse_same_ids(cameras: Sequence[Camera], places: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, camera in enumerate(cameras):
        if first.setdefault(camera.id, i) != i:
            raise ValueError(f"{places[i]} has the id {camera.id!r} of view {first[camera.id]}; rename one")


def _image_path(view: dict[str, Any], folder: Path, where: str) -> Path | None:
    name = view.get("rgbPath")
    if name is None:
        return None
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: rgbPath is {shown(name)}; give a path relative to the dataset, or null")
    return folder / name
