"""Pure: the measured values, the number of runs, and whether a target holds."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

Measure = Callable[[], float]
"""Measures once, from scratch, and returns the value in its suite's unit."""


class Samples:
    """Measurements that give several values each.

    Each value is read once. When none is left, another measurement is made.
    """

    def __init__(self, take: Callable[[], Iterable[Mapping[str, float]]]) -> None:
        self._take = take
        self._taken: list[Mapping[str, float]] = []
        self._read: Counter[str] = Counter()

    def measures(self, *names: str) -> dict[str, Measure]:
        """Return a measure for each of these values."""
        return {name: partial(self._next, name) for name in names}

    def _next(self, name: str) -> float:
        if self._read[name] == len(self._taken):
            self._taken.extend(self._take())
        self._read[name] += 1
        return self._taken[self._read[name] - 1][name]


@dataclass(frozen=True, slots=True)
class Target:
    """The value that `of` must reach: a part or a multiple of `against`, or a plain value without it."""

    of: str
    against: str | None
    bound: float
    at_least: bool = True

    def holds(self, value: float) -> bool:
        """Return whether the value reaches it."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Suite:
    """Things that are measured in turn, so that a disturbance of the machine affects all of them."""

    title: str
    unit: str
    measures: Mapping[str, Measure]
    targets: Sequence[Target] = ()
    runs: int | None = None
    """The number of runs, if it differs from that of other suites. For suites that take minutes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and its extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a suite: for each of its measures, a value for each run."""

    suite: Suite
    values: Mapping[str, Sequence[float]]

    def spread(self, name: str) -> Spread:
        """Return the spread of one measure."""
        return Spread.of(self.values[name])

    def reached(self, target: Target) -> Spread:
        """Return the values that a target applies to: the ratio within each run, or the plain value."""
        values = self.values[target.of]
        if target.against is None:
            return Spread.of(values)
        return Spread.of([own / other for own, other in zip(values, self.values[target.against], strict=True)])


def run(suite: Suite, runs: int) -> Result:
    """Measure everything in turn, as often as the suite says, and every second time in reverse order."""
    values: dict[str, list[float]] = {name: [] for name in suite.measures}
    for number in range(suite.runs or runs):
        order = list(suite.measures.items())
        for name, measure in order if number % 2 == 0 else reversed(order):
            values[name].append(measure())
    return Result(suite, values)
