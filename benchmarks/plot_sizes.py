"""The renderer's time and memory over sizes of the grid, drawn from what benchmarks.render measured:

    pip install ".[plots]"; python -m benchmarks.plot_sizes

reads benchmarks/results/render.json (GPU) and render_cpu.json, those that are there, and writes
docs/images/renderer_sizes.png.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]: optional
import pandas as pd

from voxsds.files.disk import atomic_path, read_json

RESULTS = (Path("benchmarks/results/render.json"), Path("benchmarks/results/render_cpu.json"))
PANELS = (("total_ms", "forward and backward, ms", 1.0), ("peak_mb", "most memory, GB", 1 / 1024))


def curves(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The measurements of the curves: `line`, its name, `side` of the cube, and a column a panel.

    A line's name is the backend, the device and the size of the image.
    """
    tables = []
    for result in results:
        found = pd.DataFrame(result["rows"])
        found = found[found["curve"].eq(True) & found["total_ms"].notna()]
        device = result["machine"].get("gpu", result["machine"]["cpu"])
        line = found["backend"] + f", {device}, " + found["px"].astype(str) + " px"
        tables.append(found.assign(line=line, side=found["grid"].str[0]))
    return pd.concat(tables)[["line", "side", *(column for column, _, _ in PANELS)]]


def draw(table: pd.DataFrame, path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sides = sorted(table["side"].unique())
    for panel, (column, title, unit) in zip(panels, PANELS, strict=True):
        for name, found in table.groupby("line", sort=False):
            panel.plot(found["side"], unit * found[column], "o-", label=name)
        panel.set(xscale="log", yscale="log", xlabel="voxels along each side of a cube", title=title)
        panel.set_xticks(sides, [str(side) for side in sides])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, nargs="+", default=[p for p in RESULTS if p.exists()])
    parser.add_argument("--out", type=Path, default=Path("docs/images/renderer_sizes.png"))
    arguments = parser.parse_args()
    if not arguments.results:
        parser.error("there are no results; run python -m benchmarks.render first")
    draw(curves(map(read_json, arguments.results)), arguments.out)


if __name__ == "__main__":
    main()
