"""The kernels of `norm`: group normalisation of tensors whose channels lie side by side, and a gate.

An image is rows of C channels, a row a pixel. A program of `moments` and `back_sums` goes over TILES
tiles of ROWS rows; `scales` and `back_means` put the programs' shares of a group together. Arithmetic
is float32 whatever the tensor's type.

Tables, a row of C numbers each, C padded by none:
    parts (images, programs, 2, C)  of one program: mean and sum of squared deviations; or two sums
    table (images, 4, C)            scale, shift, mean, 1 / deviation: y = x scale + shift
    means (images, 2, C)            over the group: of g, and of g times the normalised x
"""

from typing import no_type_check

import triton  # pyright: ignore[reportMissingImports]: it comes with torch for CUDA
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
@no_type_check
def _tile(x, image, row, channel, pixels, channels):
    """(offsets, mask) of the rows `row` of one image; 64 bits, for a batch of images has over 2^31 bytes."""
    offset = (image.to(tl.int64) * pixels + row)[:, None] * channels + channel[None, :]
    return x + offset, (row < pixels)[:, None] & (channel < channels)[None, :]


@triton.jit
@no_type_check
def moments(x, parts, pixels, channels, TILES: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr):
    """Mean and sum of squared deviations of each channel, over one program's rows.

    Tiles are joined by Chan's formula, as no difference of large numbers: d = m' - m,
    m += d n' / (n + n'), s += s' + d^2 n n' / (n + n').
    """
    program, image, channel = tl.program_id(0), tl.program_id(1), tl.arange(0, WIDE)
    count, mean, squares = 0.0, tl.zeros((WIDE,), tl.float32), tl.zeros((WIDE,), tl.float32)
    for tile in range(TILES):
        row = (program * TILES + tile) * ROWS + tl.arange(0, ROWS)
        place, there = _tile(x, image, row, channel, pixels, channels)
        value = tl.load(place, mask=there, other=0.0).to(tl.float32)
        here = tl.sum((row < pixels).to(tl.float32), axis=0)
        own = tl.sum(value, axis=0) / tl.maximum(here, 1.0)
        deviation = tl.where(there, value - own[None, :], 0.0)
        share = here / tl.maximum(count + here, 1.0)
        apart = own - mean
        squares += tl.sum(deviation * deviation, axis=0) + apart * apart * count * share
        mean += apart * share
        count += here
    out = parts + (image * tl.num_programs(0) + program) * 2 * channels + channel
    tl.store(out, mean, mask=channel < channels)
    tl.store(out + channels, squares, mask=channel < channels)


@triton.jit
@no_type_check
def _group(parts, image, programs, channels, per_group, PROGRAMS: tl.constexpr, GROUP: tl.constexpr):
    """(offsets, mask, first channel) of one group's shares, (PROGRAMS, GROUP)."""
    first, program, member = tl.program_id(0) * per_group, tl.arange(0, PROGRAMS), tl.arange(0, GROUP)
    offset = (image * programs + program)[:, None] * 2 * channels + first + member[None, :]
    return parts + offset, (program < programs)[:, None] & (member < per_group)[None, :], first


@triton.jit
@no_type_check
def scales(
    parts, weight, bias, table, epsilon, pixels, channels, per_group, programs, rows,
    PROGRAMS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """The table of one group; `rows` is what a program went over, the last ones less."""
    image = tl.program_id(1)
    place, there, first = _group(parts, image, programs, channels, per_group, PROGRAMS, GROUP)
    left = pixels - tl.arange(0, PROGRAMS) * rows
    count = tl.minimum(tl.maximum(left, 0), rows).to(tl.float32)[:, None]
    total = 1.0 * per_group * pixels
    means, squares = tl.load(place, there, 0.0), tl.load(place + channels, there, 0.0)
    mean = tl.sum(tl.sum(means * count, axis=1), axis=0) / total
    apart = tl.where(there, means - mean, 0.0)
    variance = tl.sum(tl.sum(squares + count * apart * apart, axis=1), axis=0) / total
    inverse = 1.0 / tl.sqrt(variance + epsilon)
    member = tl.arange(0, GROUP)
    inside = member < per_group
    scale = tl.load(weight + first + member, inside, 0.0).to(tl.float32) * inverse
    shift = tl.load(bias + first + member, inside, 0.0).to(tl.float32) - mean * scale
    out = table + image * 4 * channels + first + member
    tl.store(out, scale, inside)
    tl.store(out + channels, shift, inside)
    tl.store(out + 2 * channels, mean + tl.zeros_like(scale), inside)
    tl.store(out + 3 * channels, inverse + tl.zeros_like(scale), inside)


@triton.jit
@no_type_check
def normalise(x, table, y, pixels, channels, ROWS: tl.constexpr, WIDE: tl.constexpr, SILU: tl.constexpr):
    """y = u, or u sigmoid(u) with SILU, for u = x scale + shift."""
    image, channel = tl.program_id(1), tl.arange(0, WIDE)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place, there = _tile(x, image, row, channel, pixels, channels)
    of_channel = table + image * 4 * channels + channel
    scale = tl.load(of_channel, mask=channel < channels, other=0.0)[None, :]
    shift = tl.load(of_channel + channels, mask=channel < channels, other=0.0)[None, :]
    u = tl.load(place, mask=there, other=0.0).to(tl.float32) * scale + shift
    if SILU:
        u = u * tl.sigmoid(u)
    out, _ = _tile(y, image, row, channel, pixels, channels)
    tl.store(out, u.to(y.dtype.element_ty), mask=there)


@triton.jit
@no_type_check
def _slope(x, dy, table, weight, image, row, channel, pixels, channels, SILU: tl.constexpr):
    """(normalised x, g) of a tile: g is the gradient towards the normalised x; 0 outside of the image."""
    place, there = _tile(x, image, row, channel, pixels, channels)
    value = tl.load(place, mask=there, other=0.0).to(tl.float32)
    place, _ = _tile(dy, image, row, channel, pixels, channels)
    g = tl.load(place, mask=there, other=0.0).to(tl.float32)
    of_channel, inside = table + image * 4 * channels + channel, channel < channels
    if SILU:
        scale = tl.load(of_channel, mask=inside, other=0.0)[None, :]
        u = value * scale + tl.load(of_channel + channels, mask=inside, other=0.0)[None, :]
        s = tl.sigmoid(u)
        g = g * s * (1.0 + u * (1.0 - s))
    mean = tl.load(of_channel + 2 * channels, mask=inside, other=0.0)[None, :]
    inverse = tl.load(of_channel + 3 * channels, mask=inside, other=0.0)[None, :]
    normal = tl.where(there, (value - mean) * inverse, 0.0)
    return normal, g * tl.load(weight + channel, mask=inside, other=0.0).to(tl.float32)[None, :]


@triton.jit
@no_type_check
def back_sums(
    x, dy, table, weight, parts, pixels, channels,
    TILES: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """Sums of g and of g times the normalised x, of each channel, over one program's rows."""
    program, image, channel = tl.program_id(0), tl.program_id(1), tl.arange(0, WIDE)
    first, second = tl.zeros((WIDE,), tl.float32), tl.zeros((WIDE,), tl.float32)
    for tile in range(TILES):
        row = (program * TILES + tile) * ROWS + tl.arange(0, ROWS)
        normal, g = _slope(x, dy, table, weight, image, row, channel, pixels, channels, SILU)
        first += tl.sum(g, axis=0)
        second += tl.sum(g * normal, axis=0)
    out = parts + (image * tl.num_programs(0) + program) * 2 * channels + channel
    tl.store(out, first, mask=channel < channels)
    tl.store(out + channels, second, mask=channel < channels)


@triton.jit
@no_type_check
def back_means(
    parts, means, pixels, channels, per_group, programs, PROGRAMS: tl.constexpr, GROUP: tl.constexpr
):
    """Means over one group that a backward needs."""
    image = tl.program_id(1)
    place, there, first = _group(parts, image, programs, channels, per_group, PROGRAMS, GROUP)
    total = 1.0 * per_group * pixels
    member = tl.arange(0, GROUP)
    out = means + image * 2 * channels + first + member
    for which in tl.static_range(2):
        mean = tl.sum(tl.sum(tl.load(place + which * channels, there, 0.0), axis=1), axis=0) / total
        tl.store(out + which * channels, mean + tl.zeros((GROUP,), tl.float32), member < per_group)


@triton.jit
@no_type_check
def back(
    x, dy, table, weight, means, dx, pixels, channels,
    ROWS: tl.constexpr, WIDE: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """dx = (g - mean g - n mean(g n)) / deviation, n the normalised x."""
    image, channel = tl.program_id(1), tl.arange(0, WIDE)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    normal, g = _slope(x, dy, table, weight, image, row, channel, pixels, channels, SILU)
    inside = channel < channels
    inverse = tl.load(table + image * 4 * channels + 3 * channels + channel, mask=inside, other=0.0)
    of_channel = means + image * 2 * channels + channel
    first = tl.load(of_channel, mask=inside, other=0.0)[None, :]
    second = tl.load(of_channel + channels, mask=inside, other=0.0)[None, :]
    out, there = _tile(dx, image, row, channel, pixels, channels)
    tl.store(out, ((g - first - normal * second) * inverse[None, :]).to(dx.dtype.element_ty), mask=there)


@triton.jit
@no_type_check
def gate(both, gated, channels, WIDE: tl.constexpr):
    """A part of one row: h gelu(g) = h g (1 + erf(g / sqrt 2)) / 2, row = (h, g)."""
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    there = channel < channels
    h = tl.load(both + row * 2 * channels + channel, mask=there, other=0.0).to(tl.float32)
    g = tl.load(both + row * 2 * channels + channels + channel, mask=there, other=0.0).to(tl.float32)
    made = h * g * 0.5 * (1.0 + tl.erf(g * 0.7071067811865476))
    tl.store(gated + row * channels + channel, made.to(gated.dtype.element_ty), mask=there)
