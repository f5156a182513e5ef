"""Pure: of many events with one reason, the first few get a log line each, and the others are counted.

An event is the id of the thing that it is about. Times are monotonic seconds that the caller passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_NAMED: Final = 5
"""The number of events with one reason that get a line each."""
_EVERY: Final = 5.0
"""Seconds from the first counted event until the count is logged."""


@dataclass(slots=True)
class Repeat:
    """The counted events of one reason: their number, and the first and the last id."""

    reason: str
    count: int
    first: int
    last: int


@dataclass(slots=True)
class Repeats:
    """Decides which events get a line each, and counts the others."""

    _named: dict[str, int] = field(default_factory=dict, init=False)
    _counted: dict[str, Repeat] = field(default_factory=dict, init=False)
    due_at: float = field(default=float("inf"), init=False)
    """When to call take_counts(); infinite while nothing is counted."""

    def add(self, reason: str, ids: Sequence[int], now: float) -> Sequence[int]:
        """Add events. Return the ids of those that get a line each; the others are counted."""
        room = _NAMED - self._named.get(reason, 0)
        named, others = ids[:room], ids[room:]
        self._named[reason] = self._named.get(reason, 0) + len(named)
        if others:
            known = self._counted.setdefault(reason, Repeat(reason, 0, others[0], others[0]))
            known.count += len(others)
            known.last = others[-1]
        self.due_at = min(self.due_at, now + _EVERY)
        return named

    def take_counts(self, now: float) -> list[Repeat]:
        """Return what was counted, and count from 0 again.

        A reason without counted events gets lines again: its next events are the first ones.
        """
        counts, self._counted = list(self._counted.values()), {}
        # These reasons still occur. They get no more lines until a whole period passes without a counted event.
        self._named = {repeat.reason: _NAMED for repeat in counts}
        self.due_at = now + _EVERY if counts else float("inf")
        return counts
