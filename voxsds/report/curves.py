"""Curves as inline SVG that is readable without a script; with one, values can be read off (curves.js)."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 14, 34  # margins, pixels
CLASSES = ("s0", "s1", "s2", "s3")  # colours of the lines, in page.css
MOST_POINTS = 600  # a line, more than there are pixels for them


@dataclass(frozen=True, eq=False)
class Series:
    name: str
    values: pd.Series  # by step; what is not finite is left out
    faint: bool = False  # beside a smoothed line


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low`..`high` to `start`..`end` pixels."""

    low: float
    high: float
    start: int
    end: int

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) within low..high, about `wanted` of them.

    ticks(0.0, 400.0) is [0, 100, 200, 300, 400].
    """
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + i) * step for i in range(count)]


def curve(title: str, series: Sequence[Series], unit: str = "") -> Markup:
    """One chart over training steps; a note instead of it where nothing was logged."""
    lines = [_thinned(_finite(one.values)) for one in series]
    if all(line.empty for line in lines):
        return Markup('<p class="note">{}: nothing was logged.</p>').format(title)
    x, y = _axes(pd.concat(lines))
    parts = [_grid(x, y)]
    for line, one, color in zip(lines, series, CLASSES, strict=False):
        parts.append(_line(line, x, y, f"{color} faint" if one.faint else color))
    parts.append(Markup('<line class="now" y1="{}" y2="{}" x1="0" x2="0"/>').format(TOP, HEIGHT - BOTTOM))
    legend = _legend(series) if len(series) > 1 else Markup("")
    head = Markup("<figcaption>{}{}</figcaption>").format(title, f" ({unit})" if unit else "")
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" data-axis="{}">{}</svg>').format(
        WIDTH, HEIGHT, _spoken(title, series, lines), _axis_data(series, lines, x), Markup("").join(parts)
    )
    return Markup(
        '<figure class="chart">{}{}<div class="under">{}<output class="readout"></output></div></figure>'
    ).format(head, svg, legend)


def _spoken(title: str, series: Sequence[Series], lines: Sequence[pd.Series]) -> str:
    """The chart in words: where each line begins and ends."""
    parts = [
        f"{one.name} {line.iloc[0]:.4g} at step {line.index[0]:g}, "
        f"{line.iloc[-1]:.4g} at step {line.index[-1]:g}"
        for one, line in zip(series, lines, strict=True)
        if len(line)
    ]
    return f"{title}: {'; '.join(parts)}"


def _axis_data(series: Sequence[Series], lines: Sequence[pd.Series], x: Axis) -> str:
    """JSON by which the script turns a place into a step and a step into values."""
    named = [
        {"name": one.name, "steps": line.index.tolist(), "values": [float(f"{value:.5g}") for value in line]}
        for one, line in zip(series, lines, strict=True)
        if len(line)
    ]
    return json.dumps({"low": x.low, "high": x.high, "left": x.start, "right": x.end, "series": named})


def _finite(values: pd.Series) -> pd.Series:
    return values[np.isfinite(values)].astype(float)


def _thinned(line: pd.Series) -> pd.Series:
    """Every n-th point, and the last."""
    stride = -(-len(line) // MOST_POINTS)
    return pd.concat([line.iloc[::stride], line.iloc[-1:]]) if stride > 1 else line


def _axes(points: pd.Series) -> tuple[Axis, Axis]:
    """Scales that hold all points, with 5 % of room above and below."""
    first, last = float(points.index.min()), float(points.index.max())
    low, high = float(points.min()), float(points.max())
    size = max(abs(low), abs(high))
    nothing = size < 1e-300  # a fourth of such a range is 0 in floating point
    flat = nothing or high - low <= 1e-6 * size
    room = 0.05 * ((1.0 if nothing else size) if flat else high - low)
    return (
        Axis(first, last if last > first else first + 1, LEFT, WIDTH - RIGHT),
        Axis(low - room, high + room, HEIGHT - BOTTOM, TOP),
    )


def _grid(x: Axis, y: Axis) -> Markup:
    """Horizontal rules with their values, and the steps below."""
    rules = [
        Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="rule"/>').format(
            LEFT, WIDTH - RIGHT, y.at(v), y.at(v)
        )
        + Markup('<text x="{}" y="{:.1f}" class="tick" text-anchor="end">{}</text>').format(
            LEFT - 6, y.at(v) + 4, f"{v:.4g}"
        )
        for v in ticks(y.low, y.high)
    ]
    steps = [
        Markup('<text x="{:.1f}" y="{}" class="tick" text-anchor="middle">{}</text>').format(
            x.at(v), HEIGHT - BOTTOM + 18, f"{v:g}"
        )
        for v in ticks(x.low, x.high, 5)
    ]
    return Markup("").join([*rules, *steps])


def _line(line: pd.Series, x: Axis, y: Axis, classes: str) -> Markup:
    """A polyline; a single point as a dot; nothing where there are none."""
    places = [(x.at(float(step)), y.at(value)) for step, value in zip(line.index, line, strict=True)]
    if not places:
        return Markup("")
    if len(places) == 1:
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" class="dot {}"/>').format(*places[0], classes)
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    return Markup('<polyline points="{}" class="{}"/>').format(path, classes)


def _legend(series: Sequence[Series]) -> Markup:
    keys = [
        Markup('<span class="key"><i class="{}"></i>{}</span>').format(color, escape(s.name))
        for s, color in zip(series, CLASSES, strict=False)
    ]
    return Markup('<div class="legend">{}</div>').format(Markup("").join(keys))
