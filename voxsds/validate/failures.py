"""The known ways in which a run fails, each with the figure that shows it and what to try.

A verdict says whether a criterion is met; a failure says what went wrong. Thresholds lie between what
generated worlds, taken as results of their own captions, and the shipped run show, and what seeded
faults do (tests/validate/test_failures.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxsds.validate.criteria import LEAST_R_PRECISION


@dataclass(frozen=True)
class Failure:
    name: str
    figure: str  # what was measured, for people
    remedy: str  # what to try

    def __str__(self) -> str:
        return f"FAILURE  {self.name}: {self.figure}. {self.remedy}"


LEAST_CHANGED = 0.01  # of the visible blocks
MOST_NEEDLESS = 0.05  # of the visible blocks, where the start is already as asked
RECOGNISED = 0.5  # R-precision from which on the prompt counts as understood
ONE_MATERIAL = 0.97  # share of the visible blocks
MOST_HAZE = 0.1  # of the voxels that are drawn
MOST_SPECKLE = 0.02  # of the visible blocks
MOST_STRAY = 0.15  # of the visible blocks
MOST_PIERCED = 0.005  # of the columns of the map
MOST_LOST = 0.15  # likewise; a teacher of round landscapes takes the corners and a row of the rim
LONGEST_ARC = 1 / 3  # of the ring of views
CLEANUP_LOSS = 0.1  # of R-precision


def failures(figures: Mapping[str, Any]) -> tuple[Failure, ...]:
    """Those that the figures of metrics.json show: first what the edit did, then how the result looks."""
    found = (*_edit_failures(figures), *_surface_failures(figures), *_recognition_failures(figures))
    return tuple(failure for holds, failure in found if holds)


def _edit_failures(figures: Mapping[str, Any]) -> tuple[tuple[bool, Failure], ...]:
    """Nothing changed, too much, or what must not."""
    seen, precision = figures["symptoms"], figures["quality"]["r_precision"]
    described = precision["before"] >= LEAST_R_PRECISION
    return (
        (
            seen["changed"] < LEAST_CHANGED and not described,
            Failure(
                "no change",
                f"{seen['changed']:.1%} of the visible blocks differ from the input map",
                "Raise lr, train.steps or the teacher's guidance_scale; loosen the limits under edit.",
            ),
        ),
        (
            seen["changed"] > MOST_NEEDLESS and described,
            Failure(
                "needless change",
                f"the prompt describes the input map (R-precision {precision['before']:.2f}), "
                f"yet {seen['changed']:.0%} of the visible blocks changed",
                "Raise edit.preserve, or set edit.max_blocks or edit.lock.",
            ),
        ),
        (
            seen["excess"] > 0,
            Failure(
                "edit outside what was asked",
                f"{seen['excess']} cells break edit.region, lock, materials or max_blocks",
                "The exported map was made under other limits or changed since: dvc repro --force export.",
            ),
        ),
        (
            seen["pierced_columns"] > MOST_PIERCED or seen["lost_columns"] > MOST_LOST,
            Failure(
                "ground lost",
                f"{seen['lost_columns']:.1%} of the columns that held blocks are empty to the bottom, "
                f"{seen['pierced_columns']:.1%} are holes in the midst of land",
                "Lock the ground's material with edit.lock, or lower train.penalties.sparsity.",
            ),
        ),
    )


def _surface_failures(figures: Mapping[str, Any]) -> tuple[tuple[bool, Failure], ...]:
    """Of the wrong materials, half there, dotted, or in the air."""
    seen, precision = figures["symptoms"], figures["quality"]["r_precision"]
    missing = ", ".join(seen["missing_materials"])
    lacking = f"the prompt's {missing} is missing" if missing else "the prompt is not recognised"
    return (
        (
            seen["main_share"] >= ONE_MATERIAL > seen["main_share_before"]
            and (bool(missing) or precision["after"] < RECOGNISED),
            Failure(
                "collapse to one material",
                f"{seen['main_share']:.0%} of the visible blocks are {seen['main_material']}; {lacking}",
                "Lower the teacher's guidance_scale, or try another seed.",
            ),
        ),
        (
            seen["stray_growth"] > MOST_STRAY,
            Failure(
                "a material that nobody asked for",
                f"{seen['stray_material']} grew by {seen['stray_growth']:.0%} of the visible blocks",
                "Leave it out of edit.materials, name what should be there instead, or try another seed.",
            ),
        ),
        (
            seen["haze"] > MOST_HAZE,
            Failure(
                "haze",
                f"{seen['haze']:.0%} of the drawn voxels of the trained grid are neither empty nor opaque",
                "Lower the end of train.occupancy_temperature, or train longer.",
            ),
        ),
        (
            seen["speckle"] > MOST_SPECKLE,
            Failure(
                "speckle",
                f"{seen['speckle']:.1%} of the visible blocks are like none of their neighbours",
                "Turn export.repaint_speckles on; lower the end of train.material_temperature; train longer.",
            ),
        ),
        (
            seen["new_floating"] > 0,
            Failure(
                "floating blocks",
                f"{seen['new_floating']} blocks hang in the air that did not",
                "Set export.floating to settle or drop.",
            ),
        ),
    )


def _recognition_failures(figures: Mapping[str, Any]) -> tuple[tuple[bool, Failure], ...]:
    """What an evaluator does not see in the result."""
    seen, precision, cleanup = figures["symptoms"], figures["quality"]["r_precision"], figures["cleanup"]
    changed = seen["changed"] >= LEAST_CHANGED
    recognised = precision["after"] >= RECOGNISED
    loss = cleanup["r_precision_untidied"] - precision["after"]
    return (
        (
            changed and not recognised,
            Failure(
                "prompt not understood",
                f"the world changed, but the prompt is recognised in {precision['after']:.0%} of the views",
                "Use words of the teacher's words.txt and fewer things at once, or a larger teacher.",
            ),
        ),
        (
            recognised and seen["dark_arc"] > LONGEST_ARC,
            Failure(
                "seen from some sides only",
                f"in {seen['dark_arc']:.0%} of the ring, side by side, the prompt is not recognised",
                "Raise cameras.orbit and train.views, or train longer, so that every side has its turn.",
            ),
        ),
        (
            loss > CLEANUP_LOSS,
            Failure(
                "cleanup took away what was asked for",
                f"R-precision {cleanup['r_precision_untidied']:.2f} before the cleanup, "
                f"{precision['after']:.2f} after",
                "Set export.floating to settle or keep, or turn fill_holes or repaint_speckles off.",
            ),
        ),
    )
