"""Pure: tests whether notifications arrive. The collector notifies itself on each channel, and waits for the echoes.

A pooler in transaction mode accepts LISTEN and drops it without an error. Times are monotonic seconds that the caller
passes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_PREFIX: Final = "mailroom-echo:"
_TIMEOUT: Final = 5.0
"""Seconds that an echo may take: it needs milliseconds, but a server may stall."""


@dataclass(slots=True)
class ListenCheck:
    """The test notifications that were sent, and whether they arrived."""

    interval: float
    """Seconds between tests."""
    name: str
    """The name of this collector, so that other collectors don't mistake its echo for theirs."""
    channels: tuple[str, ...]
    is_missing: bool = field(default=False, init=False)
    """Whether notifications do not arrive."""
    test_at: float | None = field(default=None, init=False)
    """When to test next; None while nothing listens."""
    _overdue_at: float | None = field(default=None, init=False)
    _awaited: set[str] = field(default_factory=set, init=False)

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Return the channels to notify, and each one's payload."""
        return [
            (channel, f"{_PREFIX}{self.name}{f':{index}' if index else ''}")
            for index, channel in enumerate(self.channels)
        ]

    def connected(self, now: float) -> None:
        """Test at once, because a new connection listens."""
        self.test_at = now
        self._overdue_at = None

    def disconnected(self) -> None:
        """Test nothing, because nothing listens."""
        self.test_at = self._overdue_at = None

    def sent(self, now: float) -> None:
        """Note that the channels were notified."""
        self._awaited = {payload for _, payload in self.calls}
        self.test_at = now + self.interval
        self._overdue_at = now + _TIMEOUT

    def not_sent(self, now: float) -> None:
        """Note that the channels could not be notified; the test is repeated later."""
        self.test_at = now + self.interval

    def notified(self, payloads: Iterable[str]) -> int:
        """Note notifications; return how many of them are not echoes."""
        others = 0
        for payload in payloads:
            if payload in self._awaited:
                self._awaited.remove(payload)
                if not self._awaited:
                    self.is_missing, self._overdue_at = False, None
            others += not payload.startswith(_PREFIX)
        return others

    def check(self, now: float) -> None:
        """Set is_missing if an echo is overdue."""
        if self._overdue_at is not None and now >= self._overdue_at:
            self.is_missing, self._overdue_at = True, None

    def deadline(self) -> float:
        """Return when there is next something to do."""
        return min((time for time in (self.test_at, self._overdue_at) if time is not None), default=float("inf"))
