"""The few figures that one looks at first: what `dvc metrics` shows of a run, and a terminal at its end.

All of out_local/report/metrics.json: at most 25 numbers, so that a comparison of two runs fits a screen.
"""

from dataclasses import dataclass
from pathlib import Path

from voxsds.blocks.counts import EditCounts
from voxsds.files.disk import read_json
from voxsds.files.expect import as_record
from voxsds.validate.checks import Check, failed
from voxsds.validate.figures import Figures, Quality
from voxsds.validate.run import Effort

Numbers = list[tuple[str, str]]  # (label, text)


@dataclass(frozen=True)
class Gate:
    """Whether the gradient tests met their criteria."""

    ok: bool  # on the input map
    ok_after: bool  # on the trained grid


@dataclass(frozen=True)
class Verdicts:
    """Numbers of checks."""

    passed: int  # criteria
    failed: int
    failures: int  # known ways to fail that were found


@dataclass(frozen=True)
class Headline:
    """Contents of out_local/report/metrics.json."""

    quality: Quality
    edit: EditCounts
    run: Effort
    gradcheck: Gate
    verdicts: Verdicts


def headline(figures: Figures, criteria: tuple[Check, ...], failures: tuple[Check, ...]) -> Headline:
    """The headline of all that was measured and judged."""
    missed = len(failed(criteria))
    return Headline(
        quality=figures.quality,
        edit=figures.edit,
        run=figures.run,
        gradcheck=Gate(figures.gradcheck.before.ok, figures.gradcheck.after.ok),
        verdicts=Verdicts(len(criteria) - missed, missed, len(failed(failures))),
    )


def read_headline(path: Path) -> Headline:
    """The headline in a metrics.json; ValueError naming what it lacks."""
    return as_record(read_json(path), Headline, str(path))


def numbers(told: Headline) -> Numbers:
    """The headline for people."""
    quality, edit, run = told.quality, told.edit, told.run
    precision, score, probe = quality.r_precision, quality.score, quality.probe_margin
    return [
        ("R-precision over held-out views", f"{precision.before:.2f} → {precision.after:.2f}"),
        ("evaluator's score", f"{score.before:.3f} → {score.after:.3f}"),
        ("exported blocks against the trained grid", f"{quality.soft_hard_psnr_db:.1f} dB"),
        ("probe margin, the prompt against none", f"{probe.start:+.4f} → {probe.end:+.4f}"),
        ("blocks added / removed / repainted", f"{edit.added} / {edit.removed} / {edit.repainted}"),
        ("floating blocks", f"{edit.floating}"),
        ("training time", f"{run.seconds:.0f} s, {run.ms_per_step:.0f} ms a step"),
        ("peak memory of the training", f"{run.peak_memory_mb:.0f} MB"),
    ]
