"""One judgement of a result, with the figure that decides it and what to try where it failed."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A success criterion that is met or not, or a known way to fail that was avoided or not."""

    name: str
    passed: bool
    figure: str  # what was measured, for people; true whether passed or not
    remedy: str  # what to try where it failed

    def __str__(self) -> str:
        if self.passed:
            return f"PASS  {self.name}: {self.figure}"
        return f"FAIL  {self.name}: {self.figure}. {self.remedy}"


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks that did not pass, in their order."""
    return tuple(check for check in checks if not check.passed)
