"""The report as one self-contained HTML file: pictures as data URIs, curves as SVG, no script."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from voxsds.files import write_image, write_json, write_text
from voxsds.inspection import Images
from voxsds.materials import AIR, TOP, Palette
from voxsds.report.curves import Series, curve
from voxsds.report.sheet import contact_sheet, to_bytes
from voxsds.validation import Validation, View
from voxsds.verdicts import headline_numbers

TEMPLATE = Path(__file__).with_name("page.html.j2")
MOMENTS = 8  # test images shown at most; the first and the last always


@dataclass(frozen=True, eq=False)
class Page:
    """What the report tells."""

    prompt: str
    subtitle: str  # which run this is, in a line
    validation: Validation
    palette: Palette
    captions: int  # that the prompt is retrieved among, itself counted
    history: Mapping[str, Sequence[float]]  # columns of the training log, "step" among them
    test_images: Mapping[int, Images]  # by step
    provenance: Mapping[str, str]  # versions, hashes, machine
    settings: Mapping[str, Any]  # params.yaml


def write_report(folder: Path, page: Page) -> None:
    """index.html, before_after.png and metrics.json."""
    views = page.validation.views
    before, after = (torch.stack([getattr(view, name) for view in views]) for name in ("before", "after"))
    sheet = contact_sheet(before, after, [view.label for view in views], page.prompt)
    write_image(folder / "before_after.png", sheet)
    write_text(folder / "index.html", html(page))
    write_json(folder / "metrics.json", page.validation.figures)


def html(page: Page) -> str:
    """The whole page. Every text of the user's is escaped; nothing is loaded from anywhere."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figures, verdicts = page.validation.figures, page.validation.verdicts
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        prompt=page.prompt,
        subtitle=page.subtitle,
        verdicts=verdicts,
        failed=[v for v in verdicts if not v.passed],
        passed=sum(v.passed for v in verdicts),
        numbers=headline_numbers(figures),
        views=[_view(view) for view in page.validation.views],
        captions=page.captions,
        progression=_progression(page.test_images),
        charts=charts(page.history),
        edit=figures["edit"],
        materials=_materials(figures["materials"], page.palette),
        score=figures["quality"]["score"],
        others=page.validation.others,
        provenance=page.provenance.items(),
        settings=yaml.safe_dump(dict(page.settings), sort_keys=False, allow_unicode=True),
    )


def charts(history: Mapping[str, Sequence[float]]) -> list[Markup]:
    """The curves that tell how a run went; columns that the log lacks are left out."""
    steps = history["step"]

    def chart(title: str, columns: Mapping[str, str]) -> Markup:
        named = [(name, history[column]) for column, name in columns.items() if column in history]
        return curve(title, [Series(name, steps, values) for name, values in named])

    measured = corners(steps, history.get("probe_eps", []))
    return [
        curve("Probe error", [Series("told the prompt", *measured)]),
        chart("SDS loss (noisy)", {"loss": "loss"}),
        chart("Gradient norms", {"occupancy_grad_norm": "occupancy", "material_grad_norm": "materials"}),
        chart("Blocks in the grid", {"num_active_voxels": "blocks"}),
        chart("Mean occupancy", {"occupancy_mean": "mean occupancy"}),
        chart("Temperatures", {"occupancy_temperature": "occupancy", "temperature": "materials"}),
    ]


def corners(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Where a column that keeps its last value between measurements was measured, and what."""
    last = len(values) - 1
    kept = [i for i, value in enumerate(values) if i in (0, last) or value != values[i - 1]]
    return [steps[i] for i in kept], [values[i] for i in kept]


def data_uri(image: Float[Tensor, "3 height width"]) -> str:
    """A PNG that lies in the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _view(view: View) -> dict[str, Any]:
    return {
        "label": view.label,
        "side": view.before.shape[-1],
        "before": data_uri(view.before),
        "after": data_uri(view.after),
        "changed": data_uri(view.changed),
        "score_before": view.score_before,
        "score_after": view.score_after,
        "retrieved_after": view.retrieved_after,
    }


def _progression(test_images: Mapping[int, Images]) -> list[dict[str, Any]]:
    """At most MOMENTS moments, evenly over the run."""
    steps = sorted(test_images)
    chosen = sorted({steps[i] for i in np.linspace(0, len(steps) - 1, MOMENTS).round().astype(int)})
    return [{"step": step, "images": [data_uri(image) for image in test_images[step]]} for step in chosen]


def _materials(shares: Mapping[str, Mapping[str, float]], palette: Palette) -> list[dict[str, Any]]:
    """A row for each material: percentages before and after, and its colour from above."""
    rows = []
    for index, name in enumerate(palette.names):
        if index == AIR:
            continue
        red, green, blue = (round(255 * c) for c in palette.albedo[index, TOP])
        before, after = (100 * shares[when].get(name, 0.0) for when in ("before", "after"))
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
