"""The walk of a tile of rays through the grid on a GPU, forwards and backwards; see `numba_kernels`.

The rules are those of the CPU loops, and so is the arithmetic: float64, the t of each plane computed
anew from the plane, no fused multiply-add (`triton_cuda` compiles without). So all backends visit the
same voxels in the same order, whatever the colours' precision.

Because no t depends on the one before, a walk can be undone without having been recorded: the plane
that a ray crossed last is, of the three that it crossed last on their axes, the one with the largest t,
z before y before x where several are equal. What a ray has to carry is where it stands:

    line   what stays: (origin, 1 / d, step, stride of a voxel; three each, and t of leaving the grid)
    place  what moves: (next plane on x, y and z, voxel, axis of the plane crossed last)
"""

from typing import no_type_check

import triton  # pyright: ignore[reportMissingImports]: it comes with torch for CUDA
import triton.language as tl  # pyright: ignore[reportMissingImports]

PARALLEL = tl.constexpr(1e-12)  # a direction component under this never crosses a plane
INF = tl.constexpr(float("inf"))


@triton.jit
@no_type_check
def any_of(lanes):
    """Whether it is true for any ray of the tile."""
    return tl.max(lanes.to(tl.int32), axis=0) > 0


@triton.jit
@no_type_check
def pixels(height, width, ACROSS: tl.constexpr, DOWN: tl.constexpr):
    """(row, column, whether it lies in the image) of each pixel of this program's tile."""
    tiles = tl.cdiv(width, ACROSS)
    lane = tl.arange(0, ACROSS * DOWN)
    row = tl.program_id(0) // tiles * DOWN + lane // ACROSS
    column = tl.program_id(0) % tiles * ACROSS + lane % ACROSS
    return row, column, (row < height) & (column < width)


@triton.jit
@no_type_check
def _component(basis, u, v):
    """One component of the direction of the rays through (u, v): a row of the basis times (u, v, 1)."""
    return (
        tl.load(basis).to(tl.float64) * u
        + tl.load(basis + 1).to(tl.float64) * v
        + tl.load(basis + 2).to(tl.float64)
    )


@triton.jit
@no_type_check
def _slab(o, d, n):
    """Stretch of a ray between the planes 0 and n of one axis: (1 / d, t of entry, t of exit)."""
    parallel = tl.abs(d) < PARALLEL
    inverse = 1.0 / tl.where(parallel, 1.0, d)
    low, high = (0.0 - o) * inverse, (n - o) * inverse
    outside = tl.where((o >= 0.0) & (o < n), -INF, INF)
    near = tl.where(parallel, outside, tl.minimum(low, high))
    far = tl.where(parallel, -outside, tl.maximum(low, high))
    return inverse, near, far


@triton.jit
@no_type_check
def _first_cell(o, d, n, t, inside):
    """(cell of o + t d on one axis, next plane, direction of travel).

    On a plane, that is the cell ahead; or the cell behind if the ray starts inside the grid. A ray
    parallel to the planes has the next one at infinity.
    """
    parallel = tl.abs(d) < PARALLEL
    p = o + tl.where(parallel, 0.0, d) * t
    onward = d > 0.0
    cell = tl.where(parallel | (onward != inside), tl.floor(p), tl.ceil(p) - 1.0)
    cell = tl.minimum(tl.maximum(cell, 0.0), n - 1.0)
    plane = tl.where(parallel, INF, tl.where(onward, cell + 1.0, cell))
    step = tl.where(parallel, 0.0, tl.where(onward, 1.0, -1.0))
    return cell.to(tl.int32), plane, step


@triton.jit
@no_type_check
def enter(eyes, bases, view, row, column, nx, ny, nz):
    """(line, place, whether the ray meets the grid, whether it starts inside) of each ray."""
    u, v = column.to(tl.float64) + 0.5, row.to(tl.float64) + 0.5
    dx = _component(bases + view * 9, u, v)
    dy = _component(bases + view * 9 + 3, u, v)
    dz = _component(bases + view * 9 + 6, u, v)
    ox = tl.load(eyes + view * 3).to(tl.float64)
    oy = tl.load(eyes + view * 3 + 1).to(tl.float64)
    oz = tl.load(eyes + view * 3 + 2).to(tl.float64)
    size_x, size_y, size_z = nx.to(tl.float64), ny.to(tl.float64), nz.to(tl.float64)
    ix, near_x, far_x = _slab(ox, dx, size_x)
    iy, near_y, far_y = _slab(oy, dy, size_y)
    iz, near_z, far_z = _slab(oz, dz, size_z)
    start = tl.maximum(near_x, tl.maximum(near_y, near_z))
    end = tl.minimum(far_x, tl.minimum(far_y, far_z))
    meets, inside = (start < end) & (end > 0.0), start < 0.0
    t = tl.where(meets, tl.maximum(start, 0.0), 0.0)
    x, px, sx = _first_cell(ox, dx, size_x, t, inside)
    y, py, sy = _first_cell(oy, dy, size_y, t, inside)
    z, pz, sz = _first_cell(oz, dz, size_z, t, inside)
    axis = tl.where(start == near_x, 0, tl.where(start == near_y, 1, 2))
    strides = sx.to(tl.int32) * ny * nz, sy.to(tl.int32) * nz, sz.to(tl.int32)
    line = (ox, oy, oz), (ix, iy, iz), (sx, sy, sz), strides, end
    return line, (px, py, pz, (x * ny + y) * nz + z, axis), meets, inside


@triton.jit
@no_type_check
def advance(line, place, alive):
    """(place, alive) past the next plane; a ray that would leave the grid is no longer alive and stays."""
    origin, inverse, steps, strides, end = line
    px, py, pz, voxel, axis = place
    ox, oy, oz = origin
    ix, iy, iz = inverse
    sx, sy, sz = steps
    vx, vy, vz = strides
    tx, ty, tz = (px - ox) * ix, (py - oy) * iy, (pz - oz) * iz
    ahead = tl.where((tx <= ty) & (tx <= tz), 0, tl.where(ty <= tz, 1, 2))
    alive = alive & (tl.minimum(tx, tl.minimum(ty, tz)) < end)
    on_x, on_y, on_z = alive & (ahead == 0), alive & (ahead == 1), alive & (ahead == 2)
    px, py, pz = tl.where(on_x, px + sx, px), tl.where(on_y, py + sy, py), tl.where(on_z, pz + sz, pz)
    voxel += tl.where(on_x, vx, 0) + tl.where(on_y, vy, 0) + tl.where(on_z, vz, 0)
    return (px, py, pz, voxel, tl.where(alive, ahead, axis)), alive


@triton.jit
@no_type_check
def retreat(line, place, first):
    """The place before `place`, on a walk that began at `first`: undoes `advance` bit for bit."""
    origin, inverse, steps, strides, _ = line
    px, py, pz, voxel, axis = place
    first_x, first_y, first_z, _, first_axis = first
    ox, oy, oz = origin
    ix, iy, iz = inverse
    sx, sy, sz = steps
    vx, vy, vz = strides
    voxel -= tl.where(axis == 0, vx, tl.where(axis == 1, vy, vz))
    px, py, pz = (
        tl.where(axis == 0, px - sx, px),
        tl.where(axis == 1, py - sy, py),
        tl.where(axis == 2, pz - sz, pz),
    )
    tx = tl.where(px != first_x, (px - sx - ox) * ix, -INF)
    ty = tl.where(py != first_y, (py - sy - oy) * iy, -INF)
    tz = tl.where(pz != first_z, (pz - sz - oz) * iz, -INF)
    behind = tl.where((tz >= ty) & (tz >= tx), 2, tl.where(ty >= tx, 1, 0))
    at_first = tl.maximum(tx, tl.maximum(ty, tz)) == -INF
    return px, py, pz, voxel, tl.where(at_first, first_axis, behind)


@triton.jit
@no_type_check
def face_entered(line, axis):
    """Index into palette.FACE_NORMALS of the face by which a ray enters across a plane of `axis`."""
    sx, sy, sz = line[2]
    return 2 * axis + (tl.where(axis == 0, sx, tl.where(axis == 1, sy, sz)) > 0.0).to(tl.int32)
