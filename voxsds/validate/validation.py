"""Validation of a result: figures, checks and pictures, taken from the exported file alone.

Nothing measured here was shown to the optimisation: the views lie between the dataset's, the evaluator
shares no weights or data with the teacher.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxsds.validate.checks import Check
from voxsds.validate.criteria import criteria
from voxsds.validate.evaluator import Evaluator
from voxsds.validate.failures import failures
from voxsds.validate.figures import Figures, measure
from voxsds.validate.headline import Headline, headline
from voxsds.validate.run import Run
from voxsds.validate.views import OtherPrompt, ValidateSettings, View, look, other_prompts, pictured
from voxsds.world.poses import PoseLaw


@dataclass(frozen=True, eq=False)
class Validation:
    """A result, measured, judged and pictured."""

    figures: Figures
    criteria: tuple[Check, ...]  # of success
    failures: tuple[Check, ...]  # the known ways to fail
    views: tuple[View, ...]
    others: tuple[OtherPrompt, ...]

    @property
    def headline(self) -> Headline:
        return headline(self.figures, self.criteria, self.failures)

    def as_json(self) -> dict[str, Any]:
        """The content of figures.json: all figures, and all checks."""
        checks = {"criteria": self.criteria, "failures": self.failures}
        return asdict(self.figures) | {kind: [asdict(c) for c in made] for kind, made in checks.items()}


def validate(
    run: Run, evaluator: Evaluator, distractors: Sequence[str], law: PoseLaw, settings: ValidateSettings
) -> Validation:
    """Looks at the result of a run, measures it and judges it."""
    seen = look(run, evaluator, distractors, law, settings)
    figures = measure(run, seen)
    return Validation(
        figures=figures,
        criteria=criteria(figures),
        failures=failures(figures),
        views=pictured(run, seen, settings),
        others=other_prompts(seen, settings.other_prompts),
    )
