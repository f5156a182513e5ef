"""Pure: a token bucket of recipients for all calls. It slows down when SES throttles, and then speeds up again.

SES counts recipients, not calls, and lets short bursts above the rate pass (SES developer guide, "Managing sending
quotas"). It does not say how long a burst may be. So the rate is used in small calls that are spread over the second,
which even a bucket of SES that holds only a tenth of a second lets pass. Times are monotonic seconds that the caller
passes.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS

_USED: Final = 0.98
"""The part of the account's rate that is used. The rest covers clocks and networks that are not exact."""
_CALL: Final = 0.05
"""Seconds of the rate in one call."""
_SLACK: Final = 0.02
"""Seconds of the rate that the bucket holds besides one call, so that a program that wakes late loses nothing."""
_BUCKET: Final = 0.085
"""The most seconds of the rate in the bucket, if that is a recipient or more. SES's own may hold a tenth of one."""
_LONGEST_CALL: Final = 0.5
"""The most seconds of the rate in a call if answers come so late that small calls would not use the rate."""
_SPARE: Final = 1.2
"""Calls are then larger by this factor than they need to be."""
_SMOOTHING: Final = 0.2
"""The weight of the newest call in the average time of a call."""
_SMALL_FOR: Final = 60.0
"""Seconds after throttling during which calls stay small, however late answers come."""

_LITTLE: Final = 0.9
_MUCH: Final = 0.5
"""The part of the rate that is left after throttling, and after throttling that goes on."""
_GOES_ON: Final = 3.0
"""Throttling goes on if it comes again within so many seconds."""
_RISES: Final = 10.0
"""The seconds until the rate is again what it was before throttling. In as many more it is the whole rate.

If the rate is not known, it doubles in them again and again.
"""
_LEAST: Final = 1.0
"""The lowest rate in recipients a second. Throttling does not lower it further. The sandbox has this rate."""
_UNKNOWN: Final = 50.0
"""If the rate is not known, throttling halves at least this many recipients a second, even if fewer were sent."""


def _between(low: float, high: float, part: float) -> float:
    return low + (high - low) * part


@dataclass(slots=True)
class Pace:
    """How many recipients may be sent to, and when."""

    most: float = float("inf")
    """What SES allows, in recipients a second; infinite if it is not known."""
    senders: int = 1
    """The senders that divide it among them."""
    _slowed_from: float = field(default=float("inf"), init=False)
    _slowed_to: float = field(default=float("inf"), init=False)
    _slowed_at: float = field(default=float("-inf"), init=False)
    _balance: float = field(default=float("inf"), init=False)
    _refilled_at: float = field(default=0.0, init=False)
    _call_every: float = field(default=0.0, init=False)
    _recent: deque[tuple[float, int]] = field(default_factory=deque, init=False)

    @property
    def is_known(self) -> bool:
        """Return whether the account's rate is known."""
        return self.most < float("inf")

    @property
    def whole_rate(self) -> float:
        """Return the recipients a second that are allowed when nothing is throttled."""
        return _USED * self.most / self.senders

    def rate(self, now: float) -> float:
        """Return the recipients a second that are allowed now."""
        full = self.whole_rate
        risen = (now - self._slowed_at) / _RISES
        if risen < 1.0:
            return min(full, _between(self._slowed_to, self._slowed_from, risen))
        if not self.is_known:
            return float(self._slowed_from * 2.0 ** min(64.0, risen - 1.0))
        return min(full, _between(self._slowed_from, full, min(1.0, risen - 1.0)))

    def batch(self, now: float) -> int:
        """Return the most recipients that a call may have."""
        rate = self.rate(now)
        if rate == float("inf"):
            return MOST_DESTINATIONS
        most = max(1, int(rate * _CALL))
        if now >= self._slowed_at + _SMALL_FOR:
            most = max(most, math.ceil(rate * min(_LONGEST_CALL, _SPARE * self._call_every)))
        return min(MOST_DESTINATIONS, most)

    def note_call_time(self, seconds: float, calls_at_once: int) -> None:
        """Note how long a call took, with begin and settle, and how many calls there may be at once.

        If the rate can't be used in small calls, because all of them wait for answers, calls become larger.
        """
        self._call_every += _SMOOTHING * (seconds / calls_at_once - self._call_every)

    def _most_balance(self, now: float) -> float:
        rate, call = self.rate(now), self.batch(now)
        return max(call, min(call + rate * _SLACK, rate * _BUCKET))

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

    def slow_down(self, now: float, *, much: bool = False) -> bool:
        """Lower the rate, at most once a second: calls in progress report the same. Return whether it was lowered.

        A tenth less is enough if SES throttles now and then. It is half if that goes on, or for `much`.
        """
        if now < self._slowed_at + 1.0:
            return False
        rate, part = self.rate(now), _MUCH if much or now < self._slowed_at + _GOES_ON else _LITTLE
        if rate == float("inf"):
            rate, part = max(_UNKNOWN, float(sum(recipients for _, recipients in self._recent))), _MUCH
        self._refill(now)
        self._slowed_from, self._slowed_to, self._slowed_at = rate, max(_LEAST, rate * part), now
        self._balance = min(self._balance, 0.0)
        return True

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._refilled_at)
        # At first, and without a limit, the bucket is full.
        filled = self._balance + passed * self.rate(now) if self._balance < float("inf") else self._balance
        self._balance = min(self._most_balance(now), filled)
        self._refilled_at = now
