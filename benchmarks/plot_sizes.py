"""The renderer's time and memory over sizes of the grid, drawn from what benchmarks.render measured:

    pip install ".[plots]"; python -m benchmarks.plot_sizes

reads benchmarks/results/render.json (GPU) and render_cpu.json, those that are there, and writes
docs/images/renderer_sizes.png.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]: optional

from voxsds.files.disk import atomic_path, read_json

RESULTS = (Path("benchmarks/results/render.json"), Path("benchmarks/results/render_cpu.json"))
PANELS = (("total_ms", "forward and backward, ms", 1.0), ("peak_mb", "most memory, GB", 1 / 1024))


def curves(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the curve, by a name for the line: backend, device and size of the image."""
    lines = defaultdict(list)
    for result in results:
        device = result["machine"].get("gpu", result["machine"]["cpu"])
        for row in result["rows"]:
            if row.get("curve") and "refused" not in row:
                lines[f"{row['backend']}, {device}, {row['px']} px"].append(row)
    return dict(lines)


def draw(lines: dict[str, list[dict[str, Any]]], path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for panel, (key, title, unit) in zip(panels, PANELS, strict=True):
        for name, rows in lines.items():
            panel.plot([row["grid"][0] for row in rows], [unit * row[key] for row in rows], "o-", label=name)
        sides = sorted({row["grid"][0] for rows in lines.values() for row in rows})
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
    lines = curves([read_json(path) for path in arguments.results])
    if not lines:
        parser.error("no result holds a curve; run python -m benchmarks.render first")
    draw(lines, arguments.out)


if __name__ == "__main__":
    main()
