"""The known ways in which a run fails, a check each, with the figure that shows it and what to try.

A criterion says what a result must have; a failure says what went wrong. Thresholds lie between what
generated worlds, taken as results of their own captions, and the shipped run show, and what seeded
faults do (tests/validate/test_failures.py).
"""

from voxsds.validate.checks import Check
from voxsds.validate.criteria import LEAST_R_PRECISION
from voxsds.validate.figures import Cleanup, Figures
from voxsds.validate.symptoms import Symptoms

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


def failures(figures: Figures) -> tuple[Check, ...]:
    """Checks of all known failures: what the edit did, how the result looks, what an evaluator sees in it."""
    seen, precision = figures.symptoms, figures.quality.r_precision
    return (
        no_change(seen, precision.before),
        needless_change(seen, precision.before),
        edit_outside(seen),
        ground_lost(seen),
        collapse(seen, precision.after),
        stray_material(seen),
        haze(seen),
        speckle(seen),
        floating(seen),
        not_understood(seen, precision.after),
        one_sided(seen, precision.after),
        cleanup_loss(figures.cleanup, precision.after),
    )


def no_change(seen: Symptoms, precision_before: float) -> Check:
    """Nothing changed, though the input map is not as asked."""
    return Check(
        "No change",
        seen.changed >= LEAST_CHANGED or precision_before >= LEAST_R_PRECISION,
        f"{seen.changed:.1%} of the visible blocks differ from the input map",
        "Raise lr, train.steps or the teacher's guidance_scale; loosen the limits under edit.",
    )


def needless_change(seen: Symptoms, precision_before: float) -> Check:
    """Much changed, though the input map is as asked."""
    return Check(
        "Needless change",
        seen.changed <= MOST_NEEDLESS or precision_before < LEAST_R_PRECISION,
        f"the prompt is recognised in {precision_before:.0%} of the views of the input map, "
        f"and {seen.changed:.0%} of the visible blocks changed",
        "Raise edit.preserve, or set edit.max_blocks or edit.lock.",
    )


def edit_outside(seen: Symptoms) -> Check:
    """Cells changed that must not."""
    return Check(
        "Edit outside what was asked",
        seen.excess == 0,
        f"{seen.excess} cells break edit.region, lock, materials or max_blocks",
        "The exported map was made under other limits or changed since: dvc repro --force export.",
    )


def ground_lost(seen: Symptoms) -> Check:
    """Columns of the map are gone to the bottom."""
    return Check(
        "Ground lost",
        seen.pierced_columns <= MOST_PIERCED and seen.lost_columns <= MOST_LOST,
        f"{seen.lost_columns:.1%} of the columns that held blocks are empty to the bottom, "
        f"{seen.pierced_columns:.1%} are holes in the midst of land",
        "Lock the ground's material with edit.lock, or lower train.penalties.sparsity.",
    )


def collapse(seen: Symptoms, precision_after: float) -> Check:
    """Everything that is seen became one material, and the prompt is not what is seen."""
    missing = ", ".join(seen.missing_materials)
    recognised = f"the prompt is recognised in {precision_after:.0%} of the views"
    lacking = f"the prompt's {missing} is missing" if missing else recognised
    collapsed = seen.main_share >= ONE_MATERIAL > seen.main_share_before
    return Check(
        "Collapse to one material",
        not (collapsed and (missing or precision_after < RECOGNISED)),
        f"{seen.main_share:.0%} of the visible blocks are {seen.main_material}; {lacking}",
        "Lower the teacher's guidance_scale, or try another seed.",
    )


def stray_material(seen: Symptoms) -> Check:
    """A material took over that the prompt does not name."""
    grew = f"{seen.stray_material} grew by {seen.stray_growth:.0%} of the visible blocks"
    return Check(
        "A material that nobody asked for",
        seen.stray_growth <= MOST_STRAY,
        "none grew" if seen.stray_material is None else grew,
        "Leave it out of edit.materials, name what should be there instead, or try another seed.",
    )


def haze(seen: Symptoms) -> Check:
    """Voxels stayed half there."""
    return Check(
        "Haze",
        seen.haze <= MOST_HAZE,
        f"{seen.haze:.0%} of the drawn voxels of the trained grid are neither empty nor opaque",
        "Lower the end of train.occupancy_temperature, or train longer.",
    )


def speckle(seen: Symptoms) -> Check:
    """Surfaces are dotted."""
    return Check(
        "Speckle",
        seen.speckle <= MOST_SPECKLE,
        f"{seen.speckle:.1%} of the visible blocks are like none of their neighbours",
        "Turn export.repaint_speckles on; lower the end of train.material_temperature; train longer.",
    )


def floating(seen: Symptoms) -> Check:
    """Blocks were set afloat."""
    return Check(
        "Floating blocks",
        seen.new_floating == 0,
        f"{seen.new_floating} blocks hang in the air that did not",
        "Set export.floating to settle or drop.",
    )


def not_understood(seen: Symptoms, precision_after: float) -> Check:
    """Much changed, and not into what was asked for."""
    return Check(
        "Prompt not understood",
        seen.changed < LEAST_CHANGED or precision_after >= RECOGNISED,
        f"{seen.changed:.0%} of the visible blocks changed, and the prompt is recognised in "
        f"{precision_after:.0%} of the views",
        "Use words of the teacher's words.txt and fewer things at once, or a larger teacher.",
    )


def one_sided(seen: Symptoms, precision_after: float) -> Check:
    """The prompt is recognised, but not from a whole side."""
    return Check(
        "Seen from some sides only",
        precision_after < RECOGNISED or seen.dark_arc <= LONGEST_ARC,
        f"in {seen.dark_arc:.0%} of the ring, side by side, the prompt is not recognised",
        "Raise cameras.orbit and train.views, or train longer, so that every side has its turn.",
    )


def cleanup_loss(cleanup: Cleanup, precision_after: float) -> Check:
    """The prompt was recognised before the cleanup of the export, and is no longer."""
    return Check(
        "Cleanup took away what was asked for",
        cleanup.r_precision_untidied - precision_after <= CLEANUP_LOSS,
        f"R-precision {cleanup.r_precision_untidied:.2f} before the cleanup, {precision_after:.2f} after",
        "Set export.floating to settle or keep, or turn fill_holes or repaint_speckles off.",
    )
