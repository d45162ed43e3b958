"""The worlds of a run, small enough to lie in the page: each as what changed against the one before it.

viewer/history.js reads this. A change of n voxels is n gaps between their flat indices (int32,
the first from 0), then their n new material ids (uint16), little-endian, gzipped, in base64. The first world
is a change against nothing.
"""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxsds.world.maps import BlockMap
from voxsds.world.palette import BOTTOM, SIDE, TOP, Palette
from voxsds.world.snapshots import Blocks

MOST_MOMENTS = 60  # a scrubber has no use for more


@dataclass(frozen=True, eq=False)
class Moment:
    label: str
    step: int  # steps that were done
    blocks: Blocks


def moments_of(before: BlockMap, logged: Mapping[int, Blocks], after: BlockMap) -> list[Moment]:
    """The input map, the grid as it was logged, and the exported map, in the order of time."""
    during = [Moment(f"step {step}", step, logged[step]) for step in sorted(logged) if step > 0]
    last = max(logged, default=0)
    return [
        Moment("input map", 0, before.blocks),
        *during,
        Moment(f"result, exported after step {last}", last, after.blocks),
    ]


def embedded(before: BlockMap, moments: list[Moment], room: int) -> dict[str, Any] | None:
    """Worlds as the viewer needs them, in about `room` bytes of JSON at most; None where no two worlds fit.

    Moments are left out evenly until the rest fits; the first and the last stay.
    """
    count = min(len(moments), MOST_MOMENTS)
    while count >= 2:
        chosen = [moments[i] for i in np.linspace(0, len(moments) - 1, count).round().astype(int)]
        changes = _changes(chosen)
        if sum(map(len, changes)) <= room:
            return _described(before, chosen, changes)
        count = count // 2 if count > 2 else 0
    return None


def described_world(world: BlockMap) -> dict[str, Any]:
    """One world, as the viewer draws it."""
    moment = Moment("map", 0, world.blocks)
    return _described(world, [moment], _changes([moment]))


def _described(world: BlockMap, moments: list[Moment], changes: list[str]) -> dict[str, Any]:
    return {
        "shape": list(world.blocks.shape),
        "center": list(world.frame.center),
        "scale": world.frame.scale,
        "materials": _materials(world.palette),
        "moments": [
            {"label": moment.label, "step": moment.step, "change": change}
            for moment, change in zip(moments, changes, strict=True)
        ],
    }


def _materials(palette: Palette) -> list[dict[str, Any]]:
    """Names and albedos; the viewer does the lighting itself."""
    slots = {"top": TOP, "bottom": BOTTOM, "side": SIDE}
    return [
        {"name": name, **{slot: palette.albedo[i, row].tolist() for slot, row in slots.items()}}
        for i, name in enumerate(palette.names)
    ]


def _changes(moments: list[Moment]) -> list[str]:
    worlds = [np.zeros_like(moments[0].blocks), *(moment.blocks for moment in moments)]
    return [packed_change(*pair) for pair in zip(worlds, worlds[1:], strict=False)]


def packed_change(old: Blocks, new: Blocks) -> str:
    """Base64 of what makes `old` into `new`."""
    where = np.flatnonzero(old != new)
    gaps = np.diff(where, prepend=0).astype("<i4")
    materials = new.ravel()[where].astype("<u2")
    # No time in the gzip header: equal worlds, equal pages.
    return base64.b64encode(gzip.compress(gaps.tobytes() + materials.tobytes(), mtime=0)).decode()
