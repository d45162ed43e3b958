"""The success criteria of the project, a check each: of a gradient test, of a run, and of a good result."""

from voxsds.validate.checks import Check
from voxsds.validate.figures import BeforeAfter, Figures, MapFile, Progress, Quality, Swap
from voxsds.validate.photographs import Agreement
from voxsds.validate.run import Effort, GradientTest

GRADIENT_NORMS = (1.0, 1000.0)  # "reasonable" gradient magnitudes
LEAST_HEALTH = 0.5
LEAST_COVERAGE = 0.5  # share of the visible blocks that must have a gradient
LEAST_SOFT_HARD_PSNR = 28.0  # decibels
LEAST_R_PRECISION = 0.8
LEAST_AGREEMENT = 40.0  # decibels, with the dataset's images away from edges
LEAST_PROGRESS = 0.02  # mean absolute pixel change, first to last test image


def criteria(figures: Figures) -> tuple[Check, ...]:
    """Checks of all criteria, in the order in which the report lists them."""
    return (
        *gradient_criteria("(input map)", figures.gradcheck.before),
        *gradient_criteria("(trained grid)", figures.gradcheck.after),
        *run_criteria(figures),
        *quality_criteria(figures),
        *photograph_criteria(figures.photographs),
    )


def gradient_criteria(where: str, test: GradientTest) -> tuple[Check, ...]:
    """Checks of differentiability, of one gradient test."""
    return (
        Check(
            f"Gradients flow to the material logits {where}",
            test.differentiable,
            f"norm {test.gradient_norm_l2:.4g}",
            "See that view gradcheck.view shows blocks at all; lower gradcheck.threshold.",
        ),
        Check(
            f"Gradients flow to the occupancy logits {where}",
            test.occupancy.differentiable,
            f"norm {test.occupancy.gradient_norm_l2:.4g}",
            "Lower gradcheck.initial_logit: far from zero the logistic function is flat.",
        ),
        *_gradients_are_sound(where, test),
    )


def _gradients_are_sound(where: str, test: GradientTest) -> tuple[Check, ...]:
    """Checks of the material logits' gradient: healthy, finite, of a usual size, and everywhere."""
    norm, coverage = test.gradient_norm_l2, test.blocks_with_gradients
    low, high = GRADIENT_NORMS
    bad = [n for n, has in (("NaN", test.has_nan_gradients), ("Inf", test.has_inf_gradients)) if has]
    return (
        Check(
            f"Gradient health score > {LEAST_HEALTH} {where}",
            test.gradient_health_score > LEAST_HEALTH,
            f"{test.gradient_health_score:.3f}",
            "Choose a gradcheck.view that sees more of the map, or lower the initial logits.",
        ),
        Check(
            f"No NaN or Inf gradients {where}",
            not bad,
            " and ".join(bad) or "none",
            "Raise the end of train.occupancy_temperature and of train.material_temperature.",
        ),
        Check(
            f"Gradient norm from {low:g} to {high:g} {where}",
            low <= norm <= high,
            f"{norm:.4g}",
            "It grows with gradcheck.image_size and falls with gradcheck.initial_logit; change one of them.",
        ),
        Check(
            f"At least {LEAST_COVERAGE:.0%} of the visible blocks have gradients {where}",
            coverage >= LEAST_COVERAGE,
            f"{coverage:.1%}",
            "Raise gradcheck.image_size, so that far blocks are more than a pixel, or choose a nearer view.",
        ),
    )


def run_criteria(figures: Figures) -> tuple[Check, ...]:
    """Checks of a complete run."""
    kept = shown_all_along(figures.quality.r_precision)
    return (
        _loss_decreases(figures.quality, kept),
        _images_improve(figures.quality, kept),
        _map_is_valid(figures.map),
        _training_completes(figures.run),
        _test_images_progress(figures.progress, kept),
    )


def shown_all_along(precision: BeforeAfter) -> bool:
    """Whether the input map looked like the prompt and the result still does: nothing had to improve."""
    return min(precision.before, precision.after) >= LEAST_R_PRECISION


def _loss_decreases(quality: Quality, kept: bool) -> Check:
    probe = quality.probe_margin
    return Check(
        "SDS loss decreases over training (noise-free: the prompt helps more to find noise in the views)",
        probe.end > probe.start or kept,
        f"margin over no prompt {probe.start:+.4f} → {probe.end:+.4f}",
        "Use words that the teacher knows, more train.steps, or a larger lr.",
    )


def _images_improve(quality: Quality, kept: bool) -> Check:
    score, precision = quality.score, quality.r_precision
    return Check(
        "Rendered images improve toward the prompt (evaluator, held-out views)",
        score.after > score.before or kept,
        f"score {score.before:.3f} → {score.after:.3f}, "
        f"R-precision {precision.before:.2f} → {precision.after:.2f}",
        "Raise train.steps or the teacher's guidance_scale, try another seed or a larger teacher.",
    )


def _map_is_valid(file: MapFile) -> Check:
    return Check(
        "Output map.json is valid and renderable",
        file.valid,
        f"read back and drawn: {file.blocks} blocks",
        "Run the stage export again: dvc repro --single-item --force export.",
    )


def _training_completes(run: Effort) -> Check:
    return Check(
        "Training completes without errors",
        run.steps == run.steps_asked,
        f"{run.steps} of {run.steps_asked} steps",
        "Run dvc repro again: it goes on where the run was stopped.",
    )


def _test_images_progress(progress: Progress, kept: bool) -> Check:
    improved = progress.pixel_change > LEAST_PROGRESS and progress.score_last > progress.score_first
    return Check(
        "Test images show clear progression",
        improved or kept,
        f"mean pixel change {progress.pixel_change:.3f}, "
        f"score {progress.score_first:.3f} → {progress.score_last:.3f}",
        "Raise lr or train.steps: too few, too small steps move no block.",
    )


def quality_criteria(figures: Figures) -> tuple[Check, ...]:
    """Checks of a good result, which this implementation asks for on top of the plan."""
    precision, fidelity = figures.quality.r_precision, figures.quality.soft_hard_psnr_db
    return (
        Check(
            f"R-precision of the result ≥ {LEAST_R_PRECISION}",
            precision.after >= LEAST_R_PRECISION,
            f"{precision.after:.2f}",
            "Name what sets the scene apart, raise the teacher's guidance_scale, or try other seeds; "
            "small and thin structures are hard for a small teacher.",
        ),
        Check(
            f"Exported blocks look like the trained grid (PSNR ≥ {LEAST_SOFT_HARD_PSNR:g} dB)",
            fidelity >= LEAST_SOFT_HARD_PSNR,
            f"{fidelity:.1f} dB",
            "Lower the ends of train.occupancy_temperature and train.material_temperature, or train longer.",
        ),
        Check(
            "No floating block",
            figures.edit.floating == 0,
            f"{figures.edit.floating}",
            "Set export.floating to settle or drop; what floats in the input map may go on floating.",
        ),
        _gain_is_the_prompts(figures.swap, shown_all_along(precision)),
    )


def _gain_is_the_prompts(swap: Swap, kept: bool) -> Check:
    return Check(
        "The gain is the prompt's own (score gain above the mean gain under other prompts)",
        swap.gain_prompt > swap.gain_others or kept,
        f"{swap.gain_prompt:+.3f} against {swap.gain_others:+.3f}",
        "The result fits any text better, not this one: raise the teacher's guidance_scale.",
    )


def photograph_criteria(agreement: Agreement | None) -> tuple[Check, ...]:
    """Whether our renderer draws the input map as the dataset shows it; none where it shows nothing."""
    if agreement is None:
        return ()
    return (
        Check(
            f"The input map is drawn as in the dataset's images (≥ {LEAST_AGREEMENT:g} dB away from edges)",
            agreement.flat_psnr_db >= LEAST_AGREEMENT,
            f"{agreement.flat_psnr_db:.1f} dB over {agreement.views} views, "
            f"{agreement.differing:.2%} of all pixels differ",
            "The images show another state of the map, another light or other poses: export map and dataset "
            "anew, together. Training does not look at them.",
        ),
    )
