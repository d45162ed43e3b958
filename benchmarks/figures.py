"""What the suite measures of a run, and what it says of many."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

import numpy as np
from jaxtyping import Integer

from benchmarks.cases import Case
from voxsds.blocks.counts import count_edits, kept_share
from voxsds.blocks.neighbours import floating
from voxsds.blocks.surface import speckle_share, visible
from voxsds.render.draw import Images
from voxsds.validate.evaluator import Evaluator, retrieved
from voxsds.world.palette import AIR

Blocks = Integer[np.ndarray, "X Y Z"]
Figures = dict[str, Any]
RESAMPLES = 2000


def interval(values: Sequence[float], level: float = 0.95) -> list[float]:
    """The bootstrap interval (percentiles, 2000 resamples) of the mean of `values`."""
    given = np.asarray(values, dtype=float)
    draws = np.random.default_rng(0).integers(len(given), size=(RESAMPLES, len(given)))
    tail = 50 * (1 - level)
    return [round(float(p), 4) for p in np.percentile(given[draws].mean(axis=1), [tail, 100 - tail])]


def precision(evaluator: Evaluator, images: Images, texts: Sequence[str]) -> Figures:
    """How often the first of `texts` is the one that a view fits best, and its mean score."""
    scores = evaluator.scores(images, texts)
    hits = retrieved(scores).double().tolist()
    return {"r_precision": mean(hits), "interval": interval(hits), "score": scores[:, 0].mean().item()}


def changes(before: Blocks, after: Blocks, case: Case) -> Figures:
    """What became of the start, by counting blocks.

    `kept` is the share of the start's visible blocks that stayed as the case asks: the same block, or for
    "shape" any block; None where the prompt asks for another world. `changed` is the share of the visible
    blocks, before or after, that are not what they were.
    """
    seen, seen_after = visible(before), visible(after)
    kept = None
    if case.leaves == "shape":
        kept = float((after != AIR)[seen].mean())
    elif case.leaves != "nothing":
        kept = kept_share(before, after, seen)
    either = seen | seen_after
    return {
        "edit": asdict(count_edits(before, after)),
        "floating": int(floating(after).sum()),
        "speckle": speckle_share(after),
        "kept": kept,
        "changed": float((before != after)[either].mean()) if either.any() else 0.0,
    }


def summary(runs: Sequence[Figures]) -> Figures:
    """The figures of a recipe over all of its runs; one that was stopped counts as an R-precision of 0.

    Each of `runs` holds its case and what was measured. Floating blocks are added up, the rest are means,
    `..._min`, `..._max` and `..._worst_prompt` the worst.
    """
    done = [run for run in runs if "failed" not in run]
    hits = [run.get("r_precision", 0.0) for run in runs]
    by_prompt = _means(runs, "prompt")
    worst = min(by_prompt, key=lambda prompt: by_prompt[prompt])
    starts = [run["changed"] for run in done if run["leaves"] == "all"]
    kept = [run["kept"] for run in done if run["kept"] is not None]
    return {
        "runs": len(runs),
        "failed": len(runs) - len(done),
        "r_precision": mean(hits),
        "r_precision_interval": interval(hits),
        "r_precision_worst_prompt": by_prompt[worst],
        "worst_prompt": worst,
        "r_precision_by_prompt": by_prompt,
        "r_precision_by_kind": _means(runs, "kind"),
        "soft_hard_psnr_db": _over(mean, [run["soft_hard_psnr_db"] for run in done]),
        "soft_hard_psnr_db_min": _over(min, [run["soft_hard_psnr_db"] for run in done]),
        "floating": sum(run["floating"] for run in done),
        "speckle": _over(mean, [run["speckle"] for run in done]),
        "speckle_max": _over(max, [run["speckle"] for run in done]),
        "kept": _over(mean, kept),
        "changed_where_nothing_was_asked": _over(mean, starts),
        "changed_where_nothing_was_asked_max": _over(max, starts),
        "seconds": mean(run["seconds"] for run in runs),
        "seconds_max": max(run["seconds"] for run in runs),
    }


def baselines(runs: Sequence[Figures], trained: Mapping[str, Sequence[Figures]]) -> Figures:
    """What `runs` have to be compared with: edits that were not trained, and other ways of training.

    A way of training may have run on some of the cases only; `r_precision_here` is then what `runs` have on
    these.
    """
    done = [run for run in runs if "failed" not in run]
    found: Figures = {
        name: {"r_precision": _over(mean, [run[name]["r_precision"] for run in done])}
        for name in ("no_edit", "random_edit")
    }
    for name, others in trained.items():
        if others:
            here = [run.get("r_precision", 0.0) for run in on_cases_of(others, runs)]
            found[name] = {**summary(others), "r_precision_here": _over(mean, here)}
    return found


def on_cases_of(others: Sequence[Figures], runs: Sequence[Figures]) -> list[Figures]:
    """Those of `runs` whose cases the `others` ran on."""
    names = {run["name"] for run in others}
    return [run for run in runs if run["name"] in names]


def _means(runs: Sequence[Figures], key: str) -> dict[str, float]:
    """Mean R-precision by the runs' value of `key`."""
    groups: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        groups[run[key]].append(run.get("r_precision", 0.0))
    return {name: mean(values) for name, values in groups.items()}


def _over(statistic: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    """The statistic, None of nothing."""
    return statistic(values) if values else None
