"""What the suite measures of a run, and what it says of many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
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
MEASURED = (  # columns of a run that was not stopped, but for the last, which is of one that was
    *("r_precision", "soft_hard_psnr_db", "floating", "speckle", "kept", "changed"),
    *("no_edit", "random_edit", "failed"),
)


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> list[float]:
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


def run_table(runs: Iterable[Figures]) -> pd.DataFrame:
    """A row a run, as it is recorded; one that was stopped has an R-precision of 0 and no other figures."""
    table = pd.DataFrame(list(runs))
    table = table.reindex(columns=table.columns.union(list(MEASURED), sort=False))
    return table.assign(r_precision=table["r_precision"].fillna(0.0))


def summary(runs: pd.DataFrame) -> Figures:
    """The figures of a recipe over all of its runs; one that was stopped counts as an R-precision of 0.

    `runs` are of `run_table`. Floating blocks are added up, the rest are means, `..._min`, `..._max` and
    `..._worst_prompt` the worst.
    """
    hits, kept = runs["r_precision"], runs["kept"].astype(float)
    psnr, speckle = runs["soft_hard_psnr_db"], runs["speckle"]
    by_prompt, by_kind = (hits.groupby(runs[key], sort=False).mean() for key in ("prompt", "kind"))
    starts = runs.loc[runs["leaves"] == "all", "changed"]
    figures: Figures = {
        "runs": len(runs),
        "failed": int(runs["failed"].notna().sum()),
        "r_precision": hits.mean(),
        "r_precision_interval": interval(hits.to_numpy()),
        "r_precision_worst_prompt": by_prompt.min(),
        "worst_prompt": by_prompt.idxmin(),
        "r_precision_by_prompt": by_prompt.to_dict(),
        "r_precision_by_kind": by_kind.to_dict(),
        "soft_hard_psnr_db": psnr.mean(),
        "soft_hard_psnr_db_min": psnr.min(),
        "floating": int(runs["floating"].sum()),
        "speckle": speckle.mean(),
        "speckle_max": speckle.max(),
        "kept": kept.mean(),
        "changed_where_nothing_was_asked": starts.mean(),
        "changed_where_nothing_was_asked_max": starts.max(),
        "seconds": runs["seconds"].mean(),
        "seconds_max": runs["seconds"].max(),
    }
    return _known(figures)


def baselines(runs: pd.DataFrame, trained: Mapping[str, pd.DataFrame]) -> Figures:
    """What `runs` have to be compared with: edits that were not trained, and other ways of training.

    A way of training may have run on some of the cases only; `r_precision_here` is then what `runs` have on
    these.
    """
    done = runs[runs["failed"].isna()]
    found: Figures = {}
    for name in ("no_edit", "random_edit"):
        hits = [edit["r_precision"] for edit in done[name]]
        found[name] = {"r_precision": mean(hits) if hits else None}
    for name, others in trained.items():
        here = on_cases_of(others, runs)["r_precision"].mean()
        found[name] = {**summary(others), **_known({"r_precision_here": here})}
    return found


def on_cases_of(others: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Those of `runs` whose cases the `others` ran on."""
    return runs[runs["name"].isin(others["name"])]


def _known(figures: Figures) -> Figures:
    """`figures` as JSON holds them: None in place of NaN, the mean of nothing, which alone is not itself."""
    return {name: None if value != value else value for name, value in figures.items()}
