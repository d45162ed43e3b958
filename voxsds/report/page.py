"""The report as one self-contained HTML file: pictures, curves, worlds and the viewer lie in it.

Nothing is loaded from anywhere: the page's Content-Security-Policy forbids it, and lets no script run but
the viewer's bundle, which it names by its hash. What users wrote reaches the page escaped, or as JSON.
"""

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Float
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from voxsds.files.disk import write_image, write_json, write_text
from voxsds.render.draw import Images
from voxsds.report.charts import History, charts
from voxsds.report.history import embedded, moments_of
from voxsds.report.sheet import contact_sheet, to_bytes
from voxsds.report.strips import moments, strips
from voxsds.report.tables import cleanup_table, gradient_errors, gradient_table, material_rows
from voxsds.validate.checks import failed
from voxsds.validate.headline import numbers
from voxsds.validate.run import Run
from voxsds.validate.validation import Validation
from voxsds.validate.views import View
from voxsds.world.snapshots import Blocks

FOLDER = Path(__file__).parent
STYLE, BUNDLE = FOLDER / "page.css", FOLDER / "bundle.js"
PROGRESSION = 8  # test images shown at most; the first and the last always
BUDGET = 5_000_000  # bytes of the page


@dataclass(frozen=True, eq=False)
class Page:
    """Everything that the report tells."""

    subtitle: str  # which run this is, in a line
    run: Run
    validation: Validation
    captions: int  # that the prompt is retrieved among, itself counted
    history: History
    worlds: Mapping[int, Blocks]  # of the log, by step
    gradient_errors: Mapping[str, Mapping[str, float]]  # gradcheck's, relative
    provenance: Mapping[str, str]  # versions, hashes, machine
    settings: Mapping[str, Any]  # params.yaml


def write_report(folder: Path, page: Page) -> None:
    """Writes index.html, before_after.png, test_images/, figures.json and the headline, metrics.json."""
    views = page.validation.views
    before, after = (torch.stack([getattr(view, name) for view in views]) for name in ("before", "after"))
    sheet = contact_sheet(_halved(before), _halved(after), [view.label for view in views], page.run.prompt)
    write_image(folder / "before_after.png", sheet)
    for view, strip in enumerate(strips(page.run.test_images)):
        write_image(folder / "test_images" / f"view_{view}.png", strip)
    write_text(folder / "index.html", html(page))
    write_json(folder / "figures.json", page.validation.as_json())
    write_json(folder / "metrics.json", asdict(page.validation.headline))


def _halved(images: Images) -> Float[Tensor, "views 3 rows columns"]:
    """Half the size, every pixel the mean of four: edges without stairs."""
    return avg_pool2d(images, 2)


def html(page: Page) -> str:
    """The whole page. Of the logged worlds it holds as many as fit `BUDGET`."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template, told = environment.get_template("page.html.j2"), _told(page)
    without = template.render(**told, world=None)
    run = page.run
    moments = moments_of(run.before, page.worlds, run.after)
    return template.render(**told, world=embedded(run.before, moments, BUDGET - len(without.encode())))


def _told(page: Page) -> dict[str, Any]:
    """Values that the template asks for, but for the worlds."""
    run, validation, figures = page.run, page.validation, page.validation.figures
    precision = figures.quality.r_precision
    return {
        **_frame(),
        "prompt": run.prompt,
        "subtitle": page.subtitle,
        "criteria": validation.criteria,
        "failures": validation.failures,
        "missed": failed(validation.criteria),
        "found": failed(validation.failures),
        "numbers": numbers(validation.headline),
        "views": [_view(view) for view in validation.views],
        "captions": page.captions,
        "progression": _progression(run.test_images),
        "charts": charts(page.history),
        "edit": figures.edit,
        "cleanup": cleanup_table(figures),
        "materials": material_rows(figures.materials, run.after.palette),
        "gradients": gradient_table(figures.gradcheck),
        "gradient_errors": gradient_errors(page.gradient_errors),
        "recognised": {"before": f"{precision.before:.0%}", "after": f"{precision.after:.0%}"},
        "score": figures.quality.score,
        "others": validation.others,
        "provenance": page.provenance.items(),
        "settings": yaml.safe_dump(dict(page.settings), sort_keys=False, allow_unicode=True),
    }


def _frame() -> dict[str, Any]:
    """Style and script, which are the same in every report."""
    script = BUNDLE.read_text(encoding="utf-8")
    return {
        "style": Markup(STYLE.read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def data_uri(image: Float[Tensor, "3 height width"]) -> str:
    """A PNG that lies in the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _view(view: View) -> dict[str, str]:
    found = "recognised" if view.retrieved_after else "not recognised"
    return {
        "label": view.label,
        "caption": f"{view.label} · score {view.score_before:.2f} → {view.score_after:.2f} · {found}",
        "before": data_uri(view.before),
        "after": data_uri(view.after),
        "changed": data_uri(view.changed),
    }


def _progression(test_images: Mapping[int, Images]) -> list[dict[str, Any]]:
    """At most PROGRESSION moments, evenly over the run."""
    chosen = moments(test_images, PROGRESSION)
    return [{"step": step, "images": [data_uri(image) for image in test_images[step]]} for step in chosen]
