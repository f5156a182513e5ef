"""Pure: how many rows leave a second, from counts at irregular times.

Times are monotonic seconds that the caller passes.
"""

from collections import deque
from typing import Final, NamedTuple

_WINDOW: Final = 1.0
"""Seconds over which the rate is measured, at least."""
_LONGEST_WINDOW: Final = 4.0
_FEW: Final = 30
"""If fewer rows left in the window, it is made longer. So a sender that makes a call every second also gets a rate."""


class _Sample(NamedTuple):
    begins: float
    rows: int


class RateMeter:
    """The rate of the last second or so. Rows that left before the first count are not seen."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._counted_at = 0.0

    def count(self, rows: int, now: float) -> None:
        """Note that so many rows left since the last count."""
        self._samples.append(_Sample(self._counted_at, rows))
        self._counted_at = now
        while len(self._samples) > 1 and self._samples[0].begins < now - _LONGEST_WINDOW:
            self._samples.popleft()

    def latest(self, now: float) -> float:
        """Return the rows per second since the count before the last one."""
        if not self._samples or now <= self._samples[-1].begins:
            return 0.0
        return self._samples[-1].rows / (now - self._samples[-1].begins)

    def rate(self, now: float) -> float:
        """Return the rows per second. It is too low in the first second, rather than too high."""
        total, begins = 0, now
        for sample in reversed(self._samples):
            seconds = now - sample.begins
            is_older = begins < now and seconds > _WINDOW
            if is_older and (total + sample.rows > _FEW or seconds > _LONGEST_WINDOW):
                break
            total, begins = total + sample.rows, sample.begins
        return total / max(_WINDOW, now - begins)
