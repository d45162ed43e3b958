"""The curves that tell how a run went."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup

from voxsds.report.curves import Series, curve

SMOOTH_SHARE = 1 / 15  # of the steps that the smoothed loss is averaged over

History = pd.DataFrame  # the training log, a row a step, "step" among its columns


def charts(history: History) -> list[Markup]:
    """Charts of a training; columns that the log lacks are left out."""
    log = history.set_index("step")

    def chart(title: str, columns: Mapping[str, str]) -> Markup:
        return curve(title, [Series(name, log[column]) for column, name in columns.items() if column in log])

    nothing = pd.Series(dtype=float)
    return [
        curve("Probe margin", [Series("the prompt against none", corners(log.get("probe_margin", nothing)))]),
        _loss(log.get("loss", nothing)),
        chart("Gradient norms", {"occupancy_grad_norm": "occupancy", "material_grad_norm": "materials"}),
        chart("Blocks in the grid", {"num_active_voxels": "blocks"}),
        chart("Mean occupancy", {"occupancy_mean": "mean occupancy"}),
        chart("Temperatures", {"occupancy_temperature": "occupancy", "temperature": "materials"}),
    ]


def _loss(values: pd.Series) -> Markup:
    """The loss as it is, and smoothed: it depends more on the noise drawn than on the images."""
    span = max(2, round(SMOOTH_SHARE * len(values)))
    mean = Series(f"mean over {span} steps", smoothed(values, span))
    return curve("SDS loss", [Series("each step", values, faint=True), mean])


def smoothed(values: pd.Series, span: int) -> pd.Series:
    """Mean over the last `span` values, over fewer at the start; what is not finite is passed over."""
    return values.rolling(span, min_periods=1).mean()


def corners(values: pd.Series) -> pd.Series:
    """The values of a column that keeps its last one between measurements: where it changed, and the last."""
    changed = values.ne(values.shift())
    return values[changed | (np.arange(len(values)) == len(values) - 1)]
