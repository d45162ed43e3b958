"""The kernels of the CUDA renderer; `triton_cuda` launches them, `triton_walk` walks the rays.

`paint` makes, once a picture, the table of what rays see: colour (V, 6, 4) of each voxel through each
face, linear RGB and a fourth channel, alpha, which is 1 (and 0 in the background). A visit then reads
one row of four numbers and sends one row of four back, and what it costs does not depend on how many
materials there are. `collect` takes the gradient table (V, 6, 4), whose fourth channel is that of the
opacity, back to opacity and materials. Both move the table through memory once.

A program draws a tile of one view, one ray a lane; its loops end when the tile's last ray does.
Transmittance is float64; weights, colours and what is sent back have the opacity's type.
"""

from typing import no_type_check

import triton  # pyright: ignore[reportMissingImports]: it comes with torch for CUDA
import triton.language as tl  # pyright: ignore[reportMissingImports]

from voxsds.render.triton_walk import advance, any_of, enter, face_entered, pixels, retreat

SIZES = ["nx", "ny", "nz", "height", "width", "voxels"]  # a kernel serves all of them


@triton.jit
@no_type_check
def _drawn(opacity, voxel, there, threshold):
    """Opacity as drawn, float64: 0 at or under the threshold, NaN if it is NaN, 0 where none is `there`."""
    a = tl.load(opacity + voxel, mask=there, other=0.0).to(tl.float64)
    return tl.where(a <= threshold, 0.0, a)


@triton.jit
@no_type_check
def _rows(line, place):
    """Offsets (rays, 4) of the rows of a table (V, 6, 4) that belong to the voxels and faces entered."""
    _, _, _, voxel, axis = place
    row = voxel.to(tl.int64) * 24 + face_entered(line, axis) * 4
    return row[:, None] + tl.arange(0, 4)[None, :]


@triton.jit
@no_type_check
def _planes(row, column, view, height, width):
    """Offsets (rays, 4) of the channels of each pixel in images (B, 4, H, W)."""
    channel = tl.arange(0, 4)[None, :]
    return ((view.to(tl.int64) * 4 + channel) * height + row[:, None]) * width + column[:, None]


@triton.jit
@no_type_check
def _background(background):
    """The background's four channels, (1, 4)."""
    channel = tl.arange(0, 4)[None, :]
    return tl.load(background + channel, mask=channel < 3, other=0.0)


@triton.jit
@no_type_check
def _lit_row(lit, s):
    """(1, 32): lit colour of material s, laid out as a row of the table (V, 6, 4), 0 where there is none."""
    column = tl.arange(0, 32)[None, :]
    colored = (column < 24) & (column % 4 < 3)
    return tl.load(lit + s * 18 + column // 4 * 3 + column % 4, mask=colored, other=0.0)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def paint(material, lit, table, voxels, SOLIDS: tl.constexpr, BLOCK: tl.constexpr):
    """table[v, face] = (sum_s material[v, s] lit[s, face], 1)."""
    voxel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, 32)[None, :]
    there = voxel < voxels
    color = tl.zeros([BLOCK, 32], table.dtype.element_ty) + (column % 4 == 3).to(table.dtype.element_ty)
    for s in range(SOLIDS):
        share = tl.load(material + voxel * SOLIDS + s, mask=there, other=0.0)
        color += share[:, None] * _lit_row(lit, s)
    tl.store(table + voxel[:, None] * 24 + column, color, mask=there[:, None] & (column < 24))


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def collect(
    table,
    unit,
    lit,
    by_opacity,
    by_material,
    voxels,
    SOLIDS: tl.constexpr,
    FIXED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """From the gradient table to by_opacity (V,) and by_material (V, S); fixed-point sums times `unit`."""
    voxel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, 32)[None, :]
    there = voxel < voxels
    rows = tl.load(table + voxel[:, None] * 24 + column, mask=there[:, None] & (column < 24), other=0)
    if FIXED:
        rows = (rows.to(tl.float64) * tl.load(unit)).to(by_opacity.dtype.element_ty)
    tl.store(by_opacity + voxel, tl.sum(tl.where(column % 4 == 3, rows, 0.0), axis=1), mask=there)
    for s in range(SOLIDS):
        tl.store(by_material + voxel * SOLIDS + s, tl.sum(rows * _lit_row(lit, s), axis=1), mask=there)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def forward(
    opacity, table, background, eyes, bases, threshold: tl.float64, stop: tl.float64,
    image, reach, nx, ny, nz, height, width, ACROSS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """Draw `image` (B, 4, H, W) and raise `reach` (V,) to the transmittance with which rays arrive.

    `reach` holds bit patterns: those of numbers >= 0 are ordered as the numbers are, and the maximum of
    integers is one atomic operation, which is spared where it would change nothing.
    """
    view = tl.program_id(1)
    row, column, in_image = pixels(height, width, ACROSS, DOWN)
    line, place, meets, inside = enter(eyes, bases, view, row, column, nx, ny, nz)
    kind = image.dtype.element_ty
    alive = in_image & meets
    entered = alive & ~inside
    transmittance = tl.full([ACROSS * DOWN], 1.0, tl.float64)
    color = tl.zeros([ACROSS * DOWN, 4], kind)
    while any_of(alive):
        a = _drawn(opacity, place[3], entered, threshold)
        arriving = transmittance.to(kind)
        known = tl.load(reach + place[3], mask=entered, other=0)
        raised = entered & (arriving > known.to(kind, bitcast=True))
        tl.atomic_max(
            reach + place[3], arriving.to(reach.dtype.element_ty, bitcast=True), mask=raised, sem="relaxed"
        )
        seen = tl.load(table + _rows(line, place), mask=(a != 0.0)[:, None], other=0.0)
        color += (transmittance * a).to(kind)[:, None] * seen
        transmittance *= 1.0 - a
        alive = alive & ~(transmittance <= stop)
        place, alive = advance(line, place, alive)
        entered = alive
    color += transmittance.to(kind)[:, None] * _background(background)
    alpha = (1.0 - transmittance).to(kind)
    color = tl.where(tl.arange(0, 4)[None, :] == 3, alpha[:, None], color)
    tl.store(image + _planes(row, column, view, height, width), color, mask=in_image[:, None])


@triton.jit
@no_type_check
def _to_the_end(opacity, threshold, stop, line, place, alive, inside):
    """Walk each ray to the voxel where it ends.

    Returns (place there, whether what ended it was `stop`, voxels entered, index of the last one with
    light on arrival, that light, product of the factors 1 - a but for the least).
    """
    entered = alive & ~inside
    ended = tl.zeros_like(alive)
    count, last = tl.zeros_like(place[3]), tl.zeros_like(place[3])
    transmittance = tl.full(alive.shape, 1.0, tl.float64)
    arrival, least, others = transmittance, transmittance, transmittance
    while any_of(alive):
        passed = 1.0 - _drawn(opacity, place[3], entered, threshold)
        lighted = entered & (transmittance != 0.0)
        last, arrival = tl.where(lighted, count, last), tl.where(lighted, transmittance, arrival)
        count += entered.to(tl.int32)
        transmittance *= passed
        others *= tl.where(passed < least, least, passed)
        least = tl.where(passed < least, passed, least)
        ends = entered & (transmittance <= stop)
        ended = ended | ends
        place, alive = advance(line, place, alive & ~ends)
        entered = alive
    return place, ended, count, last, arrival, others


@triton.jit
@no_type_check
def _worth_behind(opacity, table, cotangent, beyond, threshold, stop, line, place, alive, others):
    """What lies behind `place` is worth: b = sum_j T_j a_j h_j + T_end `beyond`, with T = 1 at the start.

    A ray is followed until light from further back could change no derivative by more than `stop`;
    `others` is the weight with which it does, see `numba_kernels._walk`.
    """
    alive = alive & ~(others <= stop)
    transmittance = tl.full(alive.shape, 1.0, tl.float64)
    worth = tl.zeros_like(beyond)
    while any_of(alive):
        place, alive = advance(line, place, alive)
        a = _drawn(opacity, place[3], alive, threshold)
        seen = tl.load(table + _rows(line, place), mask=(a != 0.0)[:, None], other=0.0)
        worth += (transmittance * a).to(worth.dtype) * tl.sum(seen * cotangent, axis=1)
        transmittance *= 1.0 - a
        others *= 1.0 - a
        alive = alive & ~(others <= stop)
    return worth + transmittance.to(worth.dtype) * beyond


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def backward(
    opacity, table, background, eyes, bases, threshold: tl.float64, stop: tl.float64,
    cotangents, scale, gradient, nx, ny, nz, height, width,
    FIXED: tl.constexpr, ACROSS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """Add to `gradient` (V, 6, 4) what the pixels send back; fixed-point sums are in units of 1 / `scale`.

    With g the cotangent of a pixel, h_i = g . (colour of voxel i, 1) and b_i what is behind it is worth:

        b_i = a_{i+1} h_{i+1} + (1 - a_{i+1}) b_{i+1},    b_last = g . (background, 0)
        dL/da_i = T_i (h_i - b_i),    dL/d(colour of i) = T_i a_i g
    """
    view = tl.program_id(1)
    row, column, in_image = pixels(height, width, ACROSS, DOWN)
    cotangent = tl.load(
        cotangents + _planes(row, column, view, height, width), mask=in_image[:, None], other=0.0
    )
    line, first, meets, inside = enter(eyes, bases, view, row, column, nx, ny, nz)
    alive = in_image & meets & (tl.sum((cotangent != 0.0).to(tl.int32), axis=1) > 0)
    place, ended, count, last, arrival, others = _to_the_end(
        opacity, threshold, stop, line, first, alive, inside
    )
    behind = tl.sum(cotangent * _background(background), axis=1)
    behind = _worth_behind(opacity, table, cotangent, behind, threshold, stop, line, place, ended, others)
    kind = behind.dtype
    index = count - 1
    transmittance = arrival
    while any_of(index >= 0):
        there = index >= 0
        a = _drawn(opacity, place[3], there, threshold)
        rows = _rows(line, place)
        here = tl.sum(tl.load(table + rows, mask=there[:, None], other=0.0) * cotangent, axis=1)
        passed = 1.0 - a
        transmittance /= tl.where(index < last, passed, 1.0)
        arriving = tl.where(index > last, 0.0, transmittance)
        by_opacity = arriving.to(kind) * (here - behind)
        by_color = (arriving * a).to(kind)[:, None] * cotangent
        sent = tl.where(tl.arange(0, 4)[None, :] == 3, by_opacity[:, None], by_color)
        if FIXED:
            sent = tl.floor(sent.to(tl.float64) * tl.load(scale) + 0.5).to(tl.int64)
        tl.atomic_add(gradient + rows, sent, mask=(there & (index <= last))[:, None], sem="relaxed")
        behind = a.to(kind) * here + passed.to(kind) * behind
        place = retreat(line, place, first)
        index -= 1


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def first_hit(
    opacity, eyes, bases, threshold: tl.float64, voxel, face,
    nx, ny, nz, height, width, ACROSS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """`voxel` and `face` (B, H, W) of the first opacity over the threshold along each ray, else -1."""
    view = tl.program_id(1)
    row, column, in_image = pixels(height, width, ACROSS, DOWN)
    line, place, meets, inside = enter(eyes, bases, view, row, column, nx, ny, nz)
    alive = in_image & meets
    entered = alive & ~inside
    hit = tl.zeros_like(alive)
    while any_of(alive):
        a = tl.load(opacity + place[3], mask=entered, other=0.0).to(tl.float64)
        hit = hit | (entered & (a > threshold))
        place, alive = advance(line, place, alive & ~hit)
        entered = alive
    pixel = (view.to(tl.int64) * height + row) * width + column
    tl.store(voxel + pixel, tl.where(hit, place[3], -1), mask=in_image)
    tl.store(face + pixel, tl.where(hit, face_entered(line, place[4]), -1), mask=in_image)
