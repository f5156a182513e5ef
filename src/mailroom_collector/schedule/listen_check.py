"""Pure: do notifications arrive? Known by notifying oneself, on each channel, and waiting for the echoes.

A pooler in transaction mode takes LISTEN and drops it, without a word. Times are seconds of
one monotonic clock, handed in by the caller.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_PREFIX: Final = "mailroom-echo:"
_PATIENCE: Final = 5.0
"""Seconds that an echo may take: it needs milliseconds, but a server may stall."""


@dataclass(slots=True)
class ListenCheck:
    """What was called, and whether it came back."""

    interval: float
    """Seconds between calls."""
    name: str
    """Ours alone, so that other collectors on the channel don't take the echo for theirs."""
    channels: tuple[str, ...]
    deaf: bool = field(default=False, init=False)
    ask_at: float | None = field(default=None, init=False)
    """When to call next; None while nothing listens."""
    _overdue_at: float | None = field(default=None, init=False)
    _awaited: set[str] = field(default_factory=set, init=False)

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Return which channels to notify, and each with what."""
        return [
            (channel, f"{_PREFIX}{self.name}{f':{place}' if place else ''}")
            for place, channel in enumerate(self.channels)
        ]

    def connected(self, now: float) -> None:
        """A new connection listens: call."""
        self.ask_at = now
        self._overdue_at = None

    def disconnected(self) -> None:
        """Nothing listens."""
        self.ask_at = self._overdue_at = None

    def asked(self, now: float) -> None:
        """It was called."""
        self._awaited = {payload for _, payload in self.calls}
        self.ask_at = now + self.interval
        self._overdue_at = now + _PATIENCE

    def not_asked(self, now: float) -> None:
        """It could not be called: nothing is learned, try another time."""
        self.ask_at = now + self.interval

    def heard(self, payloads: Iterable[str]) -> int:
        """Take notifications; return how many of them are more than an echo, ours or another's."""
        others = 0
        for payload in payloads:
            if payload in self._awaited:
                self._awaited.remove(payload)
                if not self._awaited:
                    self.deaf, self._overdue_at = False, None
            others += not payload.startswith(_PREFIX)
        return others

    def listen_in_vain(self, now: float) -> None:
        """Be deaf from now on if an echo is overdue."""
        if self._overdue_at is not None and now >= self._overdue_at:
            self.deaf, self._overdue_at = True, None

    def deadline(self) -> float:
        """Return when there is next something to do."""
        return min((time for time in (self.ask_at, self._overdue_at) if time is not None), default=float("inf"))
