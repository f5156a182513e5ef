"""Pure: a token bucket of recipients for all calls. It slows down when SES throttles, and then speeds up again.

SES counts recipients, not calls, and lets short bursts above the rate pass (SES developer guide,
"Managing sending quotas"). Times are monotonic seconds that the caller passes.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS

_BURST: Final = 1.0
"""Seconds of the rate that the bucket holds."""
_DOUBLES: Final = 10.0
"""The seconds until a halved rate has doubled again."""
_LEAST: Final = 1.0
"""The lowest rate in recipients a second. Throttling does not lower it further. The sandbox has this rate."""

_UNKNOWN: Final = 50.0
"""If the rate is not known, throttling halves at least this many recipients a second, even if fewer were sent."""


@dataclass(slots=True)
class Pace:
    """How many recipients may be sent to, and when. `most` is in recipients a second; infinite if it is not known."""

    most: float = float("inf")
    _slowed_to: float = field(default=float("inf"), init=False)
    _slowed_at: float = field(default=float("-inf"), init=False)
    _balance: float = field(default=float("inf"), init=False)
    _refilled_at: float = field(default=0.0, init=False)
    _recent: deque[tuple[float, int]] = field(default_factory=deque, init=False)

    def rate(self, now: float) -> float:
        """Return the recipients a second that are allowed now."""
        doublings = min(64.0, (now - self._slowed_at) / _DOUBLES)
        return float(min(self.most, self._slowed_to * 2.0**doublings))

    def _burst(self, now: float) -> float:
        return max(1.0, self.rate(now) * _BURST)

    def batch(self, now: float) -> int:
        """Return the most recipients that a call may have."""
        return int(min(MOST_DESTINATIONS, self._burst(now)))

    def opens_at(self, recipients: int, now: float) -> float:
        """Return when a call with so many recipients, at most batch(), may be made: now or later."""
        self._refill(now)
        missing = recipients - self._balance
        return now if missing <= 0 else now + missing / self.rate(now)

    def spend(self, recipients: int, now: float) -> None:
        """Note that a call with so many recipients is made."""
        self._refill(now)
        self._balance -= recipients
        self._recent.append((now, recipients))
        while self._recent[0][0] < now - 1.0:
            self._recent.popleft()

    def throttled(self, now: float) -> bool:
        """Halve the rate, at most once a second: calls in progress report the same. Return whether it was halved."""
        if now < self._slowed_at + 1.0:
            return False
        rate = self.rate(now)
        if rate == float("inf"):
            rate = max(_UNKNOWN, float(sum(recipients for _, recipients in self._recent)))
        self._refill(now)
        self._slowed_to = max(_LEAST, rate / 2)
        self._slowed_at = now
        self._balance = min(self._balance, 0.0)
        return True

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._refilled_at)
        # At first, and without a limit, the bucket is full.
        filled = self._balance + passed * self.rate(now) if self._balance < float("inf") else self._balance
        self._balance = min(self._burst(now), filled)
        self._refilled_at = now
