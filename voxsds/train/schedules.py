"""Numbers that change over a run: values with named ends, asked with `.at(step)`.

A run of n steps has the steps 0 .. n - 1: the first sees `start`, the last `end`.
"""

from dataclasses import dataclass


def progress(step: int, steps: int) -> float:
    """Share of a run that is done: 0 at its first step, 1 at its last; a run of one step is at its end."""
    return step / (steps - 1) if steps > 1 else 1.0


@dataclass(frozen=True)
class Linear:
    """start + (end - start) p. From 1 to 3 over 3 steps: 1, 2, 3."""

    start: float
    end: float
    steps: int

    def at(self, step: int) -> float:
        p = progress(step, self.steps)
        return self.end if p == 1 else self.start + p * (self.end - self.start)


@dataclass(frozen=True)
class Geometric:
    """start (end / start)^p, both positive. From 1 to 100 over 3 steps: 1, 10, 100."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if self.start <= 0 or self.end <= 0:
            raise ValueError(
                f"a geometric schedule cannot run from {self.start} to {self.end}; both must be positive"
            )

    def at(self, step: int) -> float:
        p = progress(step, self.steps)
        return self.start ** (1 - p) * self.end**p


@dataclass(frozen=True)
class StepDecay:
    """`start`, times `factor` over the last `share` of the steps. Of 10 steps at share 0.2: steps 8, 9."""

    start: float
    factor: float
    share: float
    steps: int

    def at(self, step: int) -> float:
        return self.start * self.factor if self.steps - step <= self.share * self.steps else self.start

    def total(self) -> float:
        """The sum over all steps: as far as Adam can move a number, which goes `at(step)` at most."""
        return sum(self.at(step) for step in range(self.steps))
