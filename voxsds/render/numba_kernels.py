"""The compiled loops of the CPU renderer: the walk of one ray, compositing it, and its gradient.

A ray o + t d crosses the planes x = 0, 1, .. of the grid (and y, z) at t = (plane - o) / d, and the
walk always takes the next plane. Each t comes from its plane anew, so nothing accumulates, and all
geometry is float64 whatever the colours are: every backend visits the same voxels.

Which voxels a ray visits: those it *enters* at t >= 0, through the plane just crossed. The voxel that
holds the eye is never entered, hence never seen (a rasteriser that culls back faces agrees). Where
planes are crossed at once, x goes before y before z.

All arrays are C-contiguous; voxels are numbered as in the flattened grid. Every function releases the
GIL and may run on several threads, on rows dealt out as r % parts == part.
"""

from typing import Any, NamedTuple, no_type_check

import numpy as np
from numba import njit

PARALLEL = 1e-12  # a direction component under this never crosses a plane


class Scene(NamedTuple):
    """Scene that a kernel draws. Arrays of one dtype, but for the rays, which are float64."""

    eyes: np.ndarray  # (B, 3)
    bases: np.ndarray  # (B, 3, 3), see rays.RayBundle
    opacity: np.ndarray  # (X, Y, Z)
    faces: np.ndarray  # (X Y Z 6, 3), see paint.paint
    background: np.ndarray  # (3,)
    threshold: Any  # of the arrays' dtype; opacities up to here are drawn as zero
    stop: float  # a ray ends at this transmittance


@njit(cache=True, nogil=True)
@no_type_check
def _slab(o, d, n):
    """Stretch of a ray between the planes 0 and n of one axis: (1 / d, t of entry, t of exit)."""
    if abs(d) < PARALLEL:
        if 0.0 <= o < n:
            return 0.0, -np.inf, np.inf
        return 0.0, np.inf, -np.inf
    inverse = 1.0 / d
    if d > 0.0:
        return inverse, (0.0 - o) * inverse, (n - o) * inverse
    return inverse, (n - o) * inverse, (0.0 - o) * inverse


@njit(cache=True, nogil=True)
@no_type_check
def _first_cell(o, d, inverse, n, t, inside):
    """(cell of o + t d on one axis, next plane, t of crossing it, direction of travel).

    On a plane, that is the cell ahead; or the cell behind if the ray starts inside the grid, so that
    a ray starting on a face enters the block before it.
    """
    if inverse == 0.0:
        return int(np.floor(o)), 0.0, np.inf, 0
    p = o + d * t
    cell = int(np.floor(p)) if (d > 0.0) != inside else int(np.ceil(p)) - 1
    cell = min(max(cell, 0), n - 1)
    plane, step = (cell + 1.0, 1) if d > 0.0 else (cell + 0.0, -1)
    return cell, plane, (plane - o) * inverse, step


@njit(cache=True, nogil=True)
@no_type_check
def _faces(direction):
    """The faces through which a ray enters voxels across planes of x, y and z."""
    dx, dy, dz = direction
    return 1 if dx > 0.0 else 0, 3 if dy > 0.0 else 2, 5 if dz > 0.0 else 4


@njit(cache=True, nogil=True)
@no_type_check
def _enter(eye, direction, shape):
    """Beginning of a ray: (whether it meets the grid, whether it starts inside, face through which it
    comes, t of leaving the grid, voxel, and for each axis (o, 1 / d, next plane, its t, step, stride)).
    """
    nx, ny, nz = shape
    ox, oy, oz = eye[0], eye[1], eye[2]
    dx, dy, dz = direction
    inverse_x, near_x, far_x = _slab(ox, dx, nx)
    inverse_y, near_y, far_y = _slab(oy, dy, ny)
    inverse_z, near_z, far_z = _slab(oz, dz, nz)
    start, end = max(near_x, near_y, near_z), min(far_x, far_y, far_z)
    meets, inside = start < end and end > 0.0, start < 0.0
    t = max(start, 0.0) if meets else 0.0
    x, plane_x, tx, step_x = _first_cell(ox, dx, inverse_x, nx, t, inside)
    y, plane_y, ty, step_y = _first_cell(oy, dy, inverse_y, ny, t, inside)
    z, plane_z, tz, step_z = _first_cell(oz, dz, inverse_z, nz, t, inside)
    face_x, face_y, face_z = _faces(direction)
    face = face_x if start == near_x else (face_y if start == near_y else face_z)
    along_x = ox, inverse_x, plane_x, tx, step_x, step_x * ny * nz
    along_y = oy, inverse_y, plane_y, ty, step_y, step_y * nz
    along_z = oz, inverse_z, plane_z, tz, step_z, step_z
    return meets, inside, face, end, (x * ny + y) * nz + z, along_x, along_y, along_z


@njit(cache=True, nogil=True)
@no_type_check
def _records(shape):
    """Room for the walk of one ray: (voxel, 6 * voxel + face, T_i on arrival, opacity drawn).

    Indices are unsigned, which spares the check for negative ones (4 % of a backward).
    """
    length = shape[0] + shape[1] + shape[2]
    return np.empty(length, np.uint32), np.empty(length, np.uint32), np.empty(length), np.empty(length)


@njit(cache=True, nogil=True)
@no_type_check
def _walk(eye, direction, opacity, threshold, stop, beyond, records):
    """Record the voxels that one ray enters, in order, until its transmittance is at most `stop`.

    With `beyond`, the walk goes on past that end until nothing further back can change a derivative by
    more than `stop`: light from there enters dC/da_i with the weight prod_{j != i} (1 - a_j), at most
    the product without its least factor. Behind an opaque voxel, that is what was in front of it.
    Returns (voxels recorded, of these before the end).
    """
    voxels, entered, arrivals, drawn = records
    meets, inside, face, end, voxel, along_x, along_y, along_z = _enter(eye, direction, opacity.shape)
    if not meets:
        return 0, 0
    ox, inverse_x, plane_x, tx, step_x, stride_x = along_x
    oy, inverse_y, plane_y, ty, step_y, stride_y = along_y
    oz, inverse_z, plane_z, tz, step_z, stride_z = along_z
    face_x, face_y, face_z = _faces(direction)
    flat = opacity.reshape(-1)
    transmittance, least, others = 1.0, 1.0, 1.0
    count, ended = 0, -1
    while True:
        if not inside:
            a = flat[voxel]
            opaque = 0.0 if a <= threshold else np.float64(a)
            voxels[count], entered[count] = voxel, 6 * voxel + face
            arrivals[count], drawn[count] = transmittance, opaque
            count += 1
            passed = 1.0 - opaque
            transmittance *= passed
            if passed < least:
                others *= least
                least = passed
            else:
                others *= passed
            if transmittance <= stop:
                if ended >= 0 or not beyond:
                    break
                ended = count
                transmittance = others
                if transmittance <= stop:
                    break
        inside = False
        if tx <= ty and tx <= tz:
            if tx >= end:
                break
            face = face_x
            voxel += stride_x
            plane_x += step_x
            tx = (plane_x - ox) * inverse_x
        elif ty <= tz:
            if ty >= end:
                break
            face = face_y
            voxel += stride_y
            plane_y += step_y
            ty = (plane_y - oy) * inverse_y
        else:
            if tz >= end:
                break
            face = face_z
            voxel += stride_z
            plane_z += step_z
            tz = (plane_z - oz) * inverse_z
    return count, (count if ended < 0 else ended)


@njit(cache=True, nogil=True)
@no_type_check
def _direction(basis, column, row):
    """Direction of the ray through the middle of a pixel: basis @ (column + .5, row + .5, 1)."""
    u, v = column + 0.5, row + 0.5
    return (
        basis[0, 0] * u + basis[0, 1] * v + basis[0, 2],
        basis[1, 0] * u + basis[1, 1] * v + basis[1, 2],
        basis[2, 0] * u + basis[2, 1] * v + basis[2, 2],
    )


@njit(cache=True, nogil=True)
@no_type_check
def forward_rows(part, parts, scene, image, reach):
    """Draw this part's rows of all views, and raise `reach` (V,) to the transmittance they bring.

    C = sum_i T_i a_i c_i + T_end background, with c_i the colour of the face entered.
    """
    eyes, bases, opacity, faces, background, threshold, stop = scene
    height, width = image.shape[2], image.shape[3]
    records = _records(opacity.shape)
    voxels, entered, arrivals, drawn = records
    for line in range(part, image.shape[0] * height, parts):
        view, row = line // height, line % height
        for column in range(width):
            direction = _direction(bases[view], column, row)
            count, _ = _walk(eyes[view], direction, opacity, threshold, stop, False, records)
            transmittance, red, green, blue = 1.0, 0.0, 0.0, 0.0
            for i in range(count):
                voxel, transmittance = voxels[i], arrivals[i]
                if transmittance > reach[voxel]:
                    reach[voxel] = transmittance
                if drawn[i] != 0.0:
                    weight, seen = transmittance * drawn[i], entered[i]
                    red += weight * faces[seen, 0]
                    green += weight * faces[seen, 1]
                    blue += weight * faces[seen, 2]
            if count > 0:
                transmittance *= 1.0 - drawn[count - 1]
            image[view, 0, row, column] = red + transmittance * background[0]
            image[view, 1, row, column] = green + transmittance * background[1]
            image[view, 2, row, column] = blue + transmittance * background[2]
            image[view, 3, row, column] = 1.0 - transmittance


@njit(cache=True, nogil=True)
@no_type_check
def backward_rows(part, parts, scene, cotangent, slots, by_opacity, by_faces):
    """Add to `by_opacity` (V,) and `by_faces` (6 N, 3) what this part's rows send back.

    `slots` (V,) is the place among N of each voxel that is drawn and seen, few of all, and -1 elsewhere.

    With g the cotangent of a pixel, everything is a scalar: h_i = g . (c_i, 1) is what voxel i's
    colour is worth, b_i = g . (B_i, its alpha) what all that is behind it is worth:

        b_i = a_{i+1} h_{i+1} + (1 - a_{i+1}) b_{i+1},    b_last = g . (background, 0)
        dL/da_i = T_i (h_i - b_i),    dL/dc_i = T_i a_i g

    Walked back to front nothing is divided by 1 - a_i, so opacity 1 is no special case.
    """
    eyes, bases, opacity, faces, background, threshold, stop = scene
    height, width = cotangent.shape[2], cotangent.shape[3]
    records = _records(opacity.shape)
    voxels, entered, arrivals, drawn = records
    for line in range(part, cotangent.shape[0] * height, parts):
        view, row = line // height, line % height
        for column in range(width):
            red, green = cotangent[view, 0, row, column], cotangent[view, 1, row, column]
            blue, alpha = cotangent[view, 2, row, column], cotangent[view, 3, row, column]
            if red == 0.0 and green == 0.0 and blue == 0.0 and alpha == 0.0:
                continue
            direction = _direction(bases[view], column, row)
            count, ended = _walk(eyes[view], direction, opacity, threshold, stop, True, records)
            behind = np.float64(red * background[0] + green * background[1] + blue * background[2])
            for i in range(count - 1, -1, -1):
                opaque = drawn[i]
                if i >= ended and opaque == 0.0:
                    continue
                seen = entered[i]
                here = red * faces[seen, 0] + green * faces[seen, 1] + blue * faces[seen, 2] + alpha
                if i < ended:
                    by_opacity[voxels[i]] += arrivals[i] * (here - behind)
                    slot = slots[voxels[i]]
                    if opaque != 0.0 and slot >= 0:
                        weight = by_faces.dtype.type(arrivals[i] * opaque)
                        at = 6 * slot + seen - 6 * voxels[i]
                        by_faces[at, 0] += weight * red
                        by_faces[at, 1] += weight * green
                        by_faces[at, 2] += weight * blue
                behind = opaque * here + (1.0 - opaque) * behind


@njit(cache=True, nogil=True)
@no_type_check
def first_hit_rows(part, parts, eyes, bases, solid, voxel, face):
    """First voxel where `solid` is 1 (it is 0 or 1) and the face entered, -1 where there is none."""
    height, width = voxel.shape[1], voxel.shape[2]
    records = _records(solid.shape)
    voxels, entered, _, drawn = records
    for line in range(part, voxel.shape[0] * height, parts):
        view, row = line // height, line % height
        for column in range(width):
            direction = _direction(bases[view], column, row)
            count, _ = _walk(eyes[view], direction, solid, np.float32(0), 0.0, False, records)
            hit = count > 0 and drawn[count - 1] != 0.0
            voxel[view, row, column] = voxels[count - 1] if hit else -1
            face[view, row, column] = entered[count - 1] % 6 if hit else -1
