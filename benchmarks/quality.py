"""docs/quality.md: one row for each recipe that the suite was run under, and one for each of its prompts.

python -m benchmarks.quality        from benchmarks/results/suite.json and benchmarks/results/ablations
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.figures import on_cases_of, run_table, summary
from benchmarks.recipes import Ablation, read_ablations
from benchmarks.tables import markdown, number
from voxsds.files.disk import read_json, write_text

HEAD = """# What each part of the recipe is worth

Written by `python -m benchmarks.ablations`; every figure is in `benchmarks/results/ablations`. A row is the
suite (`benchmarks/prompts.yaml`), or as many of its runs as the second column says, under the shipped
parameters but for what its last column names, all runs counted. The third column is what the shipped
parameters have on the same runs of the suite below. Two runs of the same differ by up to .8 in R-precision,
means of nine by about .1: look at the defaults' own row.

R-precision is the share of 24 held-out views of the exported blocks for which an independent evaluator picks
the prompt among 100 captions: mean over the runs with the 95 % bootstrap interval, and the mean of the worst
prompt. PSNR is between the trained grid and the exported blocks, mean and worst. Speckle is the share of the
visible blocks whose material is that of none of their neighbours in the surface. Kept is the share of the
visible blocks of the start that stayed, over the prompts that leave some alone.
"""
BY_PROMPT = {  # key of a run: heading and form
    "r_precision": ("R-precision", ".2f"),
    "soft_hard_psnr_db": ("PSNR, dB", ".1f"),
    "speckle": ("speckle", ".1%"),
    "changed": ("changed", ".0%"),
}
OTHER_WAYS = {  # name of a baseline: what it does
    "no_edit": "nothing",
    "random_edit": "as many random changes",
    "plan": "the constants of the first plan",
    "free_colours": "voxels of any colour, rounded to materials at the end",
}
WAYS = {  # key of a summary: heading and form
    "r_precision": ("R-precision", ".2f"),
    "soft_hard_psnr_db": ("PSNR, dB", ".1f"),
    "soft_hard_psnr_db_min": ("worst", ".1f"),
    "speckle": ("speckle", ".1%"),
    "seconds": ("s", ".0f"),
}
REJECTED = {  # name of a result whose code has been removed: what was tried
    "bridge": "led away from what the map shows, with the map itself as the reference",
    "hard-phase": "the last fifth draws plain blocks, single flips of which are judged by the exact gradient",
    "straight-through": "the last fifth draws plain blocks, which move by the gradient of the soft grid",
}


def write_page(page: Path, folder: Path, known: Mapping[str, Ablation]) -> None:
    """Writes the table of all results in `folder`, in the order of ablations.yaml, then `REJECTED` ones and
    others by name; ValueError without any."""
    found = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise ValueError(f"{folder} holds no results; run python -m benchmarks.ablations first")
    ideas = {name: ablation.idea for name, ablation in known.items()}
    ideas |= {name: f"{idea} (removed)" for name, idea in REJECTED.items()}
    names = [*(name for name in ideas if name in found), *(name for name in found if name not in ideas)]
    suite = read_json(path) if (path := folder.parent / "suite.json").is_file() else None
    shipped = main_runs(suite) if suite else None
    rows = [row(ideas.get(name, name), found[name], shipped) for name in names]
    machines = sorted({machine_line(content["machine"]) for content in found.values()})
    lines = [HEAD, *markdown(pd.DataFrame(rows)), "", *(f"Machine: {line}" for line in machines), ""]
    if suite:
        lines += [*by_prompt(suite), *compared(suite)]
    write_text(page, "\n".join(lines))


def by_prompt(content: Mapping[str, Any]) -> list[str]:
    """The section about the whole suite: its figures, and those of each prompt on each map."""
    figures = content["summary"]
    low, high = figures["r_precision_interval"]
    unedited, random = (figures["baselines"][name]["r_precision"] for name in ("no_edit", "random_edit"))
    told = (
        f"{figures['runs']} runs of the shipped parameters: R-precision {figures['r_precision']:.2f} "
        f"({low:.2f} to {high:.2f}), PSNR {figures['soft_hard_psnr_db']:.1f} dB and in the worst run "
        f"{figures['soft_hard_psnr_db_min']:.1f} dB, speckle {figures['speckle']:.1%}, floating blocks "
        f"{figures['floating']}. Unedited maps have R-precision {unedited:.2f}, random edits "
        f"of the same size {random:.2f}. A cell holds a figure for each seed; changed is the share of the "
        "visible blocks that were."
    )
    return [
        "## The suite, prompt by prompt",
        "",
        told,
        "",
        *markdown(each_seed(main_runs(content))),
        "",
        machine_line(content["machine"]),
        "",
    ]


def each_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a prompt and map, in whose cells the figures of all seeds stand side by side, as text."""
    order = runs[["prompt", "map"]].drop_duplicates().sort_values("map", kind="stable")
    texts = runs.sort_values("seed")
    for key, (_, form) in BY_PROMPT.items():
        texts[key] = [number(value, form) for value in texts[key]]
    cells = texts.groupby(["prompt", "map"])[list(BY_PROMPT)].agg(", ".join)
    headings = {key: heading for key, (heading, _) in BY_PROMPT.items()}
    return cells.loc[pd.MultiIndex.from_frame(order)].reset_index().rename(columns=headings)


def compared(content: Mapping[str, Any]) -> list[str]:
    """The section about other ways to change the same worlds, each on some of the suite's cases or on all."""
    main = content["summary"]
    rows = [
        {
            "way": OTHER_WAYS[name],
            "runs": found.get("runs", main["runs"]),
            "shipped": number(found.get("r_precision_here", main["r_precision"]), ".2f"),
            **{heading: number(found.get(key), form) for key, (heading, form) in WAYS.items()},
        }
        for name, found in main["baselines"].items()
    ]
    return [
        "## Other ways to change a world",
        "",
        "Each on the same prompts, maps and seeds as the shipped parameters in the third column:",
        "",
        *markdown(pd.DataFrame(rows)),
        "",
    ]


def main_runs(content: Mapping[str, Any]) -> pd.DataFrame:
    """Those of the recipe itself, without those that it is compared with."""
    runs = run_table(content["runs"])
    return runs[runs["recipe"] == content["recipe"]["name"]]


def row(label: str, content: Mapping[str, Any], shipped: pd.DataFrame | None) -> dict[str, str]:
    """The figures of a recipe as text; `shipped` are the suite's runs."""
    figures = content["summary"]
    here = None if shipped is None else on_cases_of(main_runs(content), shipped)
    same = None if here is None or here.empty else summary(here)
    psnr_here = number(same["soft_hard_psnr_db"], ".1f") if same else None
    low, high = figures["r_precision_interval"]
    psnr = (number(figures[name], ".1f") for name in ("soft_hard_psnr_db", "soft_hard_psnr_db_min"))
    changes = content["recipe"]["overrides"].items()
    return {
        "recipe": label,
        "runs": f"{figures['runs']}" + (f" ({figures['failed']} stopped)" if figures["failed"] else ""),
        "shipped": f"{same['r_precision']:.2f}, {psnr_here} dB" if same else "–",
        "R-precision": f"{figures['r_precision']:.2f} ({low:.2f} to {high:.2f})",
        "worst prompt": f"{figures['r_precision_worst_prompt']:.2f} {figures['worst_prompt']}",
        "PSNR, dB": ", ".join(psnr),
        "floating": str(figures["floating"]),
        "speckle": number(figures["speckle"], ".1%"),
        "kept": number(figures["kept"], ".2f"),
        "s": f"{figures['seconds']:.0f}",
        "set": ", ".join(f"`{path}: {value}`" for path, value in changes) or "–",
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """What the results were made on, in a few words."""
    device = machine.get("gpu") or f"{machine['cores']} cores of {machine['cpu']}"
    commit = f", commit {machine['commit'][:12]}" if machine["commit"] else ""
    return f"{device}, torch {machine['torch']}{commit}."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/ablations"))
    parser.add_argument("--page", type=Path, default=Path("docs/quality.md"))
    args = parser.parse_args()
    write_page(args.page, args.results, read_ablations())


if __name__ == "__main__":
    main()
