"""The curves that tell how a run went."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from voxsds.report.curves import Series, curve, smoothed

SMOOTH_SHARE = 1 / 15  # of the steps that the smoothed loss is averaged over

History = Mapping[str, Sequence[float]]  # columns of the training log, "step" among them


def charts(history: History) -> list[Markup]:
    """All charts; columns that the log lacks are left out."""
    steps = history["step"]

    def chart(title: str, columns: Mapping[str, str]) -> Markup:
        named = [(name, history[column]) for column, name in columns.items() if column in history]
        return curve(title, [Series(name, steps, values) for name, values in named])

    measured = corners(steps, history.get("probe_margin", []))
    return [
        curve("Probe margin", [Series("the prompt against none", *measured)]),
        _loss(steps, history.get("loss", [])),
        chart("Gradient norms", {"occupancy_grad_norm": "occupancy", "material_grad_norm": "materials"}),
        chart("Blocks in the grid", {"num_active_voxels": "blocks"}),
        chart("Mean occupancy", {"occupancy_mean": "mean occupancy"}),
        chart("Temperatures", {"occupancy_temperature": "occupancy", "temperature": "materials"}),
    ]


def _loss(steps: Sequence[float], values: Sequence[float]) -> Markup:
    """The loss as it is, and smoothed: it depends more on the noise drawn than on the images."""
    span = max(2, round(SMOOTH_SHARE * len(values)))
    raw = Series("each step", steps[: len(values)], values, faint=True)
    mean = Series(f"mean over some {span} steps", steps[: len(values)], smoothed(values, span))
    return curve("SDS loss", [raw, mean])


def corners(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Where a column that keeps its last value between measurements was measured, and what."""
    last = len(values) - 1
    kept = [i for i, value in enumerate(values) if i in (0, last) or value != values[i - 1]]
    return [steps[i] for i in kept], [values[i] for i in kept]
