"""docs/quality.md: one row for each recipe that the suite was run under, and one for each of its prompts.

python -m benchmarks.quality        from benchmarks/results/suite.json and benchmarks/results/ablations
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures, on_cases_of, summary
from benchmarks.recipes import Ablation, read_ablations
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
WAYS = (  # key of a summary, form
    ("r_precision", ".2f"),
    ("soft_hard_psnr_db", ".1f"),
    ("soft_hard_psnr_db_min", ".1f"),
    ("speckle", ".1%"),
    ("seconds", ".0f"),
)
REJECTED = {  # name of a result whose code has been removed: what was tried
    "bridge": "led away from what the map shows, with the map itself as the reference",
    "hard-phase": "the last fifth draws plain blocks, single flips of which are judged by the exact gradient",
    "straight-through": "the last fifth draws plain blocks, which move by the gradient of the soft grid",
}
COLUMNS = (
    "recipe",
    "runs",
    "shipped",
    "R-precision",
    "worst prompt",
    "PSNR, dB",
    "floating",
    "speckle",
    "kept",
    "s",
    "set",
)


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
    shipped = main_runs(suite) if suite else []
    rows = [row(ideas.get(name, name), found[name], shipped) for name in names]
    machines = sorted({machine_line(content["machine"]) for content in found.values()})
    lines = [HEAD, *table(COLUMNS, rows), "", *(f"Machine: {line}" for line in machines), ""]
    if suite:
        lines += [*by_prompt(suite), *compared(suite)]
    write_text(page, "\n".join(lines))


def by_prompt(content: Mapping[str, Any]) -> list[str]:
    """The section about the whole suite: its figures, and those of each prompt on each map."""
    figures, prompts = content["summary"], {}
    for run in main_runs(content):
        prompts.setdefault((run["map"], run["prompt"]), []).append(run)
    rows = [
        [prompt, str(map_id), *(each(runs, key, form) for key, (_, form) in BY_PROMPT.items())]
        for (map_id, prompt), runs in sorted(prompts.items(), key=lambda entry: entry[0][0])
    ]
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
    heading = ["## The suite, prompt by prompt", "", told, ""]
    return [
        *heading,
        *table(("prompt", "map", *(heading for heading, _ in BY_PROMPT.values())), rows),
        "",
        machine_line(content["machine"]),
        "",
    ]


def compared(content: Mapping[str, Any]) -> list[str]:
    """The section about other ways to change the same worlds, each on some of the suite's cases or on all."""
    main = content["summary"]
    rows = [
        [
            OTHER_WAYS[name],
            str(found.get("runs", main["runs"])),
            number(found.get("r_precision_here", main["r_precision"]), ".2f"),
            *(number(found.get(key), form) for key, form in WAYS),
        ]
        for name, found in main["baselines"].items()
    ]
    return [
        "## Other ways to change a world",
        "",
        "Each on the same prompts, maps and seeds as the shipped parameters in the third column:",
        "",
        *table(("way", "runs", "shipped", "R-precision", "PSNR, dB", "worst", "speckle", "s"), rows),
        "",
    ]


def each(runs: Sequence[Mapping[str, Any]], key: str, form: str) -> str:
    return ", ".join(number(run.get(key), form) for run in sorted(runs, key=lambda run: run["seed"]))


def main_runs(content: Mapping[str, Any]) -> list[Figures]:
    """Those of the recipe itself, without those that it is compared with."""
    return [run for run in content["runs"] if run["recipe"] == content["recipe"]["name"]]


def row(label: str, content: Mapping[str, Any], shipped: Sequence[Figures]) -> list[str]:
    """The figures of a recipe as text; `shipped` are the suite's runs."""
    figures = content["summary"]
    here = on_cases_of(main_runs(content), shipped)
    same = summary(here) if here else None
    low, high = figures["r_precision_interval"]
    return [
        label,
        f"{figures['runs']}" + (f" ({figures['failed']} stopped)" if figures["failed"] else ""),
        f"{same['r_precision']:.2f}, {number(same['soft_hard_psnr_db'], '.1f')} dB" if same else "–",
        f"{figures['r_precision']:.2f} ({low:.2f} to {high:.2f})",
        f"{figures['r_precision_worst_prompt']:.2f} {figures['worst_prompt']}",
        f"{number(figures['soft_hard_psnr_db'], '.1f')}, {number(figures['soft_hard_psnr_db_min'], '.1f')}",
        str(figures["floating"]),
        number(figures["speckle"], ".1%"),
        number(figures["kept"], ".2f"),
        f"{figures['seconds']:.0f}",
        ", ".join(f"`{path}: {value}`" for path, value in content["recipe"]["overrides"].items()) or "–",
    ]


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def machine_line(machine: Mapping[str, Any]) -> str:
    """What the results were made on, in a few words."""
    device = machine.get("gpu") or f"{machine['cores']} cores of {machine['cpu']}"
    commit = f", commit {machine['commit'][:12]}" if machine["commit"] else ""
    return f"{device}, torch {machine['torch']}{commit}."


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


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
