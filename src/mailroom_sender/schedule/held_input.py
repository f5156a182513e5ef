"""Pure: how much of the pipe is read although all calls are held.

What is in the pipe when a hold begins would wait there until the hold ends. So it is read, and goes back to the ledger,
where a sender with another account finds it. The collector writes more as soon as there is room, but only about as much
as was read lately. So half of the pipe is read each second for a while, and a few rows remain in the end. Times
are monotonic seconds that the caller passes.
"""

from dataclasses import dataclass, field
from typing import Final

_LITTLE: Final = 1024
"""Bytes of some seven rows. These remain in the pipe for the next probes."""
_EVERY: Final = 1.0  # seconds
_FOR: Final = 10.0
"""Seconds from the beginning of the hold. Otherwise a collector that fills the pipe again would keep it going."""


@dataclass(slots=True)
class HeldInput:
    """What is read during one hold."""

    read_at: float = field(default=float("inf"), init=False)
    """When to read next; infinite if no time is known."""
    _ends_at: float | None = field(default=None, init=False)

    def bytes_to_read(self, waiting: int, now: float) -> int:
        """Return how many of the bytes that wait in the pipe to read now; 0: none."""
        if self._ends_at is None:
            self.read_at, self._ends_at = now, now + _FOR
        if now < self.read_at:
            return 0
        self.read_at = now + _EVERY if now < self._ends_at else float("inf")
        return (waiting + 1) // 2 if waiting > _LITTLE else 0

    def end(self) -> None:
        """Note that calls are not held any more."""
        self.read_at, self._ends_at = float("inf"), None
