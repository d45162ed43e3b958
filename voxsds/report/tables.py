"""The report's tables, as texts and numbers for the template."""

from collections.abc import Mapping
from typing import Any

from voxsds.validate.figures import Figures, Gradients, Materials
from voxsds.validate.run import GradientTest
from voxsds.world.palette import TOP, Palette

TOTALS = ("blocks", "changed")  # of the result: nothing that was done


def material_rows(shares: Materials, palette: Palette) -> list[dict[str, Any]]:
    """A row for each material that there is: its shares "before" and "after", and its colour from above."""
    rows = []
    for index, name in enumerate(palette.names):
        before, after = (100 * of.get(name, 0.0) for of in (shares.before, shares.after))
        if not (before or after):
            continue
        red, green, blue = (round(255 * c) for c in palette.albedo[index, TOP])
        rows.append(
            {
                "name": name,
                "color": f"rgb({red},{green},{blue})",
                "before": f"{before:.1f} %",
                "after": f"{after:.1f} %",
                "share_before": f"{before:.2f}",
                "share_after": f"{after:.2f}",
            }
        )
    return rows


def gradient_table(tests: Gradients) -> dict[str, Any]:
    """One row for each gradient test, by what it was made on."""
    columns = ["norm, materials", "norm, occupancy", "health score", "visible blocks reached", "NaN or Inf"]
    rows = [("input map", _gradient_row(tests.before)), ("trained grid", _gradient_row(tests.after))]
    return {"columns": columns, "rows": rows}


def _gradient_row(test: GradientTest) -> list[str]:
    bad = test.has_nan_gradients or test.has_inf_gradients
    return [
        f"{test.gradient_norm_l2:.3g}",
        f"{test.occupancy.gradient_norm_l2:.3g}",
        f"{test.gradient_health_score:.3f}",
        f"{test.blocks_with_gradients:.1%}",
        "yes" if bad else "none",
    ]


def gradient_errors(errors: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Errors of the gradients, as (against what, relative error)."""
    names = {
        "central_differences": "central differences of the",
        "single_blocks": "the image change when single blocks are really",
    }
    return [
        (f"{names[kind]} {what}", f"{error:.1e}")
        for kind, group in errors.items()
        for what, error in group.items()
    ]


def cleanup_table(figures: Figures) -> dict[str, Any]:
    """The result without and with its cleanup, and what the export did in a sentence."""
    cleanup, quality = figures.cleanup, figures.quality
    rows = [
        ("R-precision", f"{cleanup.r_precision_untidied:.2f}", f"{quality.r_precision.after:.2f}"),
        ("score", f"{cleanup.score_untidied:.3f}", f"{quality.score.after:.3f}"),
        ("speckle", f"{cleanup.speckle_untidied:.2%}", f"{quality.speckle:.2%}"),
        ("floating blocks", f"{cleanup.floating_untidied}", f"{figures.edit.floating}"),
    ]
    done = {name: count for name, count in cleanup.counts.items() if count and name not in TOTALS}
    steps = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in done.items())
    did = f" All that the export did: {steps}." if steps else ""
    return {"rows": rows, "done": f"The cleanup changed {cleanup.changed} cells.{did}"}
