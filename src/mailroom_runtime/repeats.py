"""Pure: of many events of one kind, the first few get a line each, and the others are counted.

Times are seconds of one monotonic clock, handed in by the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_NAMED: Final = 5
"""Events of one kind that get a line each."""
_EVERY: Final = 5.0
"""Seconds from the first event that is counted until the count is logged."""


@dataclass(slots=True)
class Repeat:
    """Events of one kind that were counted: how many, and the first and the last of them."""

    kind: str
    count: int
    first: int
    last: int


@dataclass(slots=True)
class Repeats:
    """Decides which events get a line each, and counts the others. Events are numbers."""

    _named: dict[str, int] = field(default_factory=dict, init=False)
    _counted: dict[str, Repeat] = field(default_factory=dict, init=False)
    due_at: float = field(default=float("inf"), init=False)
    """When to call tell(); never, as long as nothing is counted."""

    def add(self, kind: str, events: Sequence[int], now: float) -> Sequence[int]:
        """Add events. Return those that get a line each; the others are counted."""
        room = _NAMED - self._named.get(kind, 0)
        named, others = events[:room], events[room:]
        self._named[kind] = self._named.get(kind, 0) + len(named)
        if others:
            known = self._counted.setdefault(kind, Repeat(kind, 0, others[0], others[0]))
            known.count += len(others)
            known.last = others[-1]
        self.due_at = min(self.due_at, now + _EVERY)
        return named

    def tell(self, now: float) -> list[Repeat]:
        """Return what was counted, and start again from 0. After a kind has ended, its next events get a line each."""
        counts, self._counted = list(self._counted.values()), {}
        # These kinds still occur: they are only counted until a whole period passes without one.
        self._named = {repeat.kind: _NAMED for repeat in counts}
        self.due_at = now + _EVERY if counts else float("inf")
        return counts
