"""The kernels of the CUDA renderer; `triton_cuda` launches them, `triton_walk` walks the rays.

What rays see is the table `faces` (6 V, 3), linear RGB of each voxel through each face (`paint.paint`). A
visit reads one row of it and sends one row of gradients back, and what it costs does not depend on how
many materials there are. In registers a colour has a fourth channel, alpha, which is 1 (0 in the background).

A program draws a tile of one view, one ray a lane; its loops end when the tile's last ray does.
Transmittance is float64; weights, colours and what is sent back have the opacity's type.
"""

from typing import no_type_check

import triton  # pyright: ignore[reportMissingImports]: it comes with torch for CUDA
import triton.language as tl  # pyright: ignore[reportMissingImports]

from voxsds.render.triton_walk import advance, any_of, enter, face_entered, pixels, retreat

SIZES = ["nx", "ny", "nz", "height", "width"]  # a kernel serves all of them


@triton.jit
@no_type_check
def _drawn(opacity, voxel, there, threshold):
    """Opacity as drawn, float64: 0 at or under the threshold, NaN if it is NaN, 0 where none is `there`."""
    a = tl.load(opacity + voxel, mask=there, other=0.0).to(tl.float64)
    return tl.where(a <= threshold, 0.0, a)


@triton.jit
@no_type_check
def _rows(line, place):
    """Offsets (rays, 4) of the rows of `faces` (V, 6, 4) that belong to the voxels and faces entered."""
    _, _, _, voxel, axis = place
    row = voxel.to(tl.int64) * 24 + face_entered(line, axis) * 4
    return row[:, None] + tl.arange(0, 4)[None, :]


@triton.jit
@no_type_check
def _seen(faces, rows, there):
    """Colour of these rows and alpha, which is 1, (rays, 4); black where none is `there`."""
    color = tl.load(faces + rows, mask=there[:, None], other=0.0)
    return tl.where(tl.arange(0, 4)[None, :] == 3, 1.0, color)


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


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def forward(
    opacity, faces, background, eyes, bases, threshold: tl.float64, stop: tl.float64,
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
        seen = _seen(faces, _rows(line, place), a != 0.0)
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
def _worth_behind(opacity, faces, cotangent, beyond, threshold, stop, line, place, alive, others):
    """Worth of what lies behind `place`: b = sum_j T_j a_j h_j + T_end `beyond`, with T = 1 at the start.

    A ray is followed until light from further back could change no derivative by more than `stop`;
    `others` is the weight with which it does, see `numba_kernels._walk`.
    """
    alive = alive & ~(others <= stop)
    transmittance = tl.full(alive.shape, 1.0, tl.float64)
    worth = tl.zeros_like(beyond)
    while any_of(alive):
        place, alive = advance(line, place, alive)
        a = _drawn(opacity, place[3], alive, threshold)
        seen = _seen(faces, _rows(line, place), a != 0.0)
        worth += (transmittance * a).to(worth.dtype) * tl.sum(seen * cotangent, axis=1)
        transmittance *= 1.0 - a
        others *= 1.0 - a
        alive = alive & ~(others <= stop)
    return worth + transmittance.to(worth.dtype) * beyond


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def backward(
    opacity, faces, background, eyes, bases, threshold: tl.float64, stop: tl.float64,
    cotangents, scale, sums, nx, ny, nz, height, width,
    FIXED: tl.constexpr, ACROSS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """Add to `sums` (V, 6, 4) what the pixels send back to each face: to its colour, and to the opacity.

    Fixed-point sums are in units of 1 / `scale`. One addition of four numbers is a third of four additions.

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
    behind = _worth_behind(opacity, faces, cotangent, behind, threshold, stop, line, place, ended, others)
    kind = behind.dtype
    index = count - 1
    transmittance = arrival
    channel = tl.arange(0, 4)[None, :]
    while any_of(index >= 0):
        there = index >= 0
        a = _drawn(opacity, place[3], there, threshold)
        rows = _rows(line, place)
        here = tl.sum(_seen(faces, rows, there) * cotangent, axis=1)
        passed = 1.0 - a
        transmittance /= tl.where(index < last, passed, 1.0)
        arriving = tl.where(index > last, 0.0, transmittance)
        to_opacity = arriving.to(kind) * (here - behind)
        to_color = (arriving * a).to(kind)[:, None] * cotangent
        sent = tl.where(channel == 3, to_opacity[:, None], to_color)
        if FIXED:
            sent = tl.floor(sent.to(tl.float64) * tl.load(scale) + 0.5).to(tl.int64)
        tl.atomic_add(sums + rows, sent, mask=(there & (index <= last))[:, None], sem="relaxed")
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
