"""Each success criterion of the project, PASS or FAIL, with the figure that decides it and what to try.

`figures` is what out_local/report/metrics.json holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    criterion: str
    passed: bool
    figure: str  # what was measured, for people
    remedy: str  # what to try where it failed

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.criterion}: {self.figure}"


GRADIENT_NORMS = (1.0, 1000.0)  # "reasonable" gradient magnitudes
LEAST_HEALTH = 0.5
LEAST_COVERAGE = 0.5  # share of the visible blocks that must have a gradient
LEAST_SOFT_HARD_PSNR = 28.0  # decibels
LEAST_R_PRECISION = 0.8
LEAST_AGREEMENT = 40.0  # decibels, with the dataset's images away from edges
LEAST_PROGRESS = 0.02  # mean absolute pixel change, first to last test image


def gradient_verdicts(where: str, test: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The criteria of differentiability over one gradient test's figures."""
    norm, health = test["gradient_norm_l2"], test["gradient_health_score"]
    coverage = test["blocks_with_gradients"]
    bad = [name for name in ("NaN", "Inf") if test[f"has_{name.lower()}_gradients"]]
    low, high = GRADIENT_NORMS
    return (
        Verdict(
            f"Gradients flow to the material logits {where}",
            test["differentiable"],
            f"norm {norm:.4g}",
            "See that view gradcheck.view shows blocks at all; lower gradcheck.threshold.",
        ),
        Verdict(
            f"Gradients flow to the occupancy logits {where}",
            test["occupancy"]["differentiable"],
            f"norm {test['occupancy']['gradient_norm_l2']:.4g}",
            "Lower gradcheck.initial_logit: far from zero the logistic function is flat.",
        ),
        Verdict(
            f"Gradient health score > {LEAST_HEALTH} {where}",
            health > LEAST_HEALTH,
            f"{health:.3f}",
            "Choose a gradcheck.view that sees more of the map, or lower the initial logits.",
        ),
        Verdict(
            f"No NaN or Inf gradients {where}",
            not bad,
            " and ".join(bad) or "none",
            "Raise the end of train.occupancy_temperature and of train.material_temperature.",
        ),
        Verdict(
            f"Gradient norm from {low:g} to {high:g} {where}",
            low <= norm <= high,
            f"{norm:.4g}",
            "It grows with gradcheck.image_size and falls with gradcheck.initial_logit; change one of them.",
        ),
        Verdict(
            f"At least {LEAST_COVERAGE:.0%} of the visible blocks have gradients {where}",
            coverage >= LEAST_COVERAGE,
            f"{coverage:.1%}",
            "Raise gradcheck.image_size, so that far blocks are more than a pixel, or choose a nearer view.",
        ),
    )


def pipeline_verdicts(figures: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The criteria of a complete run over the figures of metrics.json."""
    quality, run = figures["quality"], figures["run"]
    probe, score, precision = quality["probe_margin"], quality["score"], quality["r_precision"]
    progress, kept = figures["progress"], shown_all_along(precision)
    improved = progress["pixel_change"] > LEAST_PROGRESS and progress["score_last"] > progress["score_first"]
    return (
        Verdict(
            "SDS loss decreases over training (noise-free: the prompt helps more to find noise in the views)",
            probe["end"] > probe["start"] or kept,
            f"margin over no prompt {probe['start']:+.4f} → {probe['end']:+.4f}",
            "Use words that the teacher knows, more train.steps, or a larger lr.",
        ),
        Verdict(
            "Rendered images improve toward the prompt (evaluator, held-out views)",
            score["after"] > score["before"] or kept,
            f"score {score['before']:.3f} → {score['after']:.3f}, "
            f"R-precision {precision['before']:.2f} → {precision['after']:.2f}",
            "Raise train.steps or the teacher's guidance_scale, try another seed or a larger teacher.",
        ),
        Verdict(
            "Output map.json is valid and renderable",
            figures["map"]["valid"],
            f"read back and drawn: {figures['map']['blocks']} blocks",
            "Run the stage export again: dvc repro --single-item --force export.",
        ),
        Verdict(
            "Training completes without errors",
            run["steps"] == run["steps_asked"],
            f"{run['steps']} of {run['steps_asked']} steps",
            "Run dvc repro again: it goes on where the run was stopped.",
        ),
        Verdict(
            "Test images show clear progression",
            improved or kept,
            f"mean pixel change {progress['pixel_change']:.3f}, "
            f"score {progress['score_first']:.3f} → {progress['score_last']:.3f}",
            "Raise lr or train.steps: too few, too small steps move no block.",
        ),
    )


def quality_verdicts(figures: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """What this implementation asks of a good result on top of the plan."""
    quality, floating = figures["quality"], figures["edit"]["floating"]
    precision, fidelity, swap = quality["r_precision"]["after"], quality["soft_hard_psnr_db"], quality["swap"]
    return (
        Verdict(
            f"R-precision of the result ≥ {LEAST_R_PRECISION}",
            precision >= LEAST_R_PRECISION,
            f"{precision:.2f}",
            "Name what sets the scene apart, raise the teacher's guidance_scale, or try other seeds; "
            "small and thin structures are hard for a small teacher.",
        ),
        Verdict(
            f"Exported blocks look like the trained grid (PSNR ≥ {LEAST_SOFT_HARD_PSNR:g} dB)",
            fidelity >= LEAST_SOFT_HARD_PSNR,
            f"{fidelity:.1f} dB",
            "Lower the ends of train.occupancy_temperature and train.material_temperature, or train longer.",
        ),
        Verdict(
            "No floating block",
            floating == 0,
            f"{floating}",
            "Set export.floating to settle or drop; what floats in the input map may go on floating.",
        ),
        Verdict(
            "The gain is the prompt's own (score gain above the mean gain under other prompts)",
            swap["gain_prompt"] > swap["gain_others"] or shown_all_along(quality["r_precision"]),
            f"{swap['gain_prompt']:+.3f} against {swap['gain_others']:+.3f}",
            "The result fits any text better, not this one: raise the teacher's guidance_scale.",
        ),
    )


def shown_all_along(precision: Mapping[str, float]) -> bool:
    """Whether the input map looked like the prompt and the result still does: nothing had to improve."""
    return min(precision["before"], precision["after"]) >= LEAST_R_PRECISION


def photograph_verdicts(agreement: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Whether our renderer draws the input map as the dataset shows it; none where it shows nothing."""
    if not agreement["views"]:
        return ()
    fidelity = agreement["flat_psnr_db"]
    return (
        Verdict(
            f"The input map is drawn as in the dataset's images (≥ {LEAST_AGREEMENT:g} dB away from edges)",
            fidelity >= LEAST_AGREEMENT,
            f"{fidelity:.1f} dB over {agreement['views']} views, "
            f"{agreement['differing']:.2%} of all pixels differ",
            "The images show another state of the map, another light or other poses: export map and dataset "
            "anew, together. Training does not look at them.",
        ),
    )


def headline_numbers(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that one looks at first, as (label, text)."""
    quality, edit, run = figures["quality"], figures["edit"], figures["run"]
    precision, score, probe = quality["r_precision"], quality["score"], quality["probe_margin"]
    return [
        ("R-precision over held-out views", f"{precision['before']:.2f} → {precision['after']:.2f}"),
        ("evaluator's score", f"{score['before']:.3f} → {score['after']:.3f}"),
        ("exported blocks against the trained grid", f"{quality['soft_hard_psnr_db']:.1f} dB"),
        ("probe margin, the prompt against none", f"{probe['start']:+.4f} → {probe['end']:+.4f}"),
        ("blocks added / removed / repainted", f"{edit['added']} / {edit['removed']} / {edit['repainted']}"),
        ("floating blocks", f"{edit['floating']}"),
        ("training time", f"{run['seconds']:.0f} s, {run['ms_per_step']:.0f} ms a step"),
        ("peak memory of the training", f"{run['peak_memory_mb']:.0f} MB"),
    ]
