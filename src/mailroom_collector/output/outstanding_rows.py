"""Pure: how many rows may be outstanding, and when to check how many have left.

A row is outstanding from its claim until it leaves: until a sender begins it or, if senders do not acknowledge, until
the reader has read its line. Outstanding rows go before every row that is claimed later, also before a more urgent one.
So there are only as many as keep the reader busy until the next check. Times are monotonic seconds that the caller
passes.
"""

import math
from dataclasses import dataclass
from typing import Final

from mailroom_collector.output.rate_meter import RateMeter

_CHUNK_ROWS: Final = 1500
"""The largest number of rows in a claim. A larger claim costs hardly less per row (docs/performance.md)."""
_CHUNKS: Final = 3
"""The largest number of outstanding chunks: one is claimed or signed, one is printed, and one is recorded."""
_LEAST: Final = 2
"""Outstanding rows for the slowest reader: the one that it handles, and the next one."""
_CALL: Final = 50
"""Rows in a call to SES at most. So many may be outstanding if they leave within a second, and at the start."""
_SECONDS_OF_RATE: Final = 0.4

_CHECK_AT_ONCE: Final = 0.001
_CHECK_FIRST: Final = 0.005
_CHECK_CAP: Final = 0.25
"""Seconds between checks: at least, if a check costs nothing; at least, if it is a statement; and at most."""
_CALM: Final = 0.05
_WORTH: Final = 25
"""While many rows are outstanding, a check waits for so many seconds, and until so many rows should have left."""
_COST: Final = 20
"""Checks take a twentieth of the time at most, unless the reader has nearly nothing left."""
_SETTLES: Final = 1.0
"""Seconds after the reader starved until the rate shows what it can take."""


@dataclass(frozen=True, slots=True)
class Departure:
    """The result of a check."""

    left: int
    """Rows that left since the last check."""
    is_starved: bool
    """Whether the reader has nothing left of what was printed."""
    seconds: float = 0.0
    """Seconds that the check took."""


class OutstandingRows:
    """The target for outstanding rows. It follows the rate, and doubles when the reader starves during a backlog."""

    def __init__(self, batch_limit: int) -> None:
        self._line = batch_limit
        self.largest_claim = max(_CHUNK_ROWS // batch_limit, 1) * batch_limit
        """The largest number of rows in a claim. It is a whole number of lines."""
        self.most = _CHUNKS * max(_CHUNK_ROWS, batch_limit)
        """The largest number of outstanding rows."""
        self.target = self._first = max(_LEAST, min(batch_limit, _CALL))
        self.check_at = 0.0
        self._interval = _CHECK_FIRST
        self._meter = RateMeter()
        self._is_backlog = False
        self._settles_at = 0.0

    def room(self, held: int, now: float) -> int:
        """Return how many rows to claim now, if `held` rows are outstanding; 0 if there is not enough room.

        These are whole lines, unless there is no room for one line.
        """
        if not self._is_backlog:
            self.target = max(self._first, self._wanted(now))
        fits = min(self.largest_claim, self.target - held)
        if fits >= self._line:
            return fits - fits % self._line
        return fits if fits >= min(_WORTH, math.ceil(self.target / 8)) else 0

    def claimed(self, now: float, *, is_drained: bool) -> None:
        """Note a claim. `is_drained`: nothing more is due, so the reader may have nothing to do."""
        if self._is_backlog and is_drained:
            self._is_backlog = False
        elif not self._is_backlog and not is_drained:
            self._is_backlog = True
            self._settles_at = now + _SETTLES
        if self.check_at <= now:
            self.check_at = now + min(self._interval, _CHECK_FIRST)

    def wants_check(self, held: int) -> bool:
        """Return whether to check at `check_at`: in a backlog, or if more than half of the target is outstanding."""
        return self._is_backlog or 2 * held > self.target

    @property
    def first_checks_at(self) -> float:
        """Return when to check even if nothing waits. After a few checks without a result there are no more."""
        return self.check_at if self._interval < _CHECK_CAP else float("inf")

    def checked(self, held: int, departure: Departure, now: float) -> None:
        """Note the result of a check, after which `held` rows are outstanding."""
        self._meter.count(departure.left, now)
        wanted = self._wanted(now)
        is_starved = departure.is_starved and departure.left > 0
        if is_starved and self._is_backlog:
            self.target = min(self.most, max(2 * self.target, wanted))
            self._settles_at = now + _SETTLES
        elif wanted > self.target or now >= self._settles_at:
            self.target = wanted
        soon = min(_CHECK_FIRST, max(_CHECK_AT_ONCE, _COST * departure.seconds))
        self._interval = soon if is_starved or not held else max(soon, self._next_interval(departure.seconds, now))
        self.check_at = now + self._interval

    def _wanted(self, now: float) -> int:
        """Return the target for the rate of the last second."""
        rate = self._meter.rate(now)
        return min(self.most, round(max(_LEAST, min(_CALL, rate), _SECONDS_OF_RATE * rate)))

    def _next_interval(self, cost: float, now: float) -> float:
        """Return the seconds until the next check: until half of the target has left, or often enough before that."""
        rate = max(self._meter.rate(now), self._meter.latest(now))
        longest = min(_CHECK_CAP, 2 * self._interval)
        if rate > 0:
            often = max(_CALM, _WORTH / rate, _COST * cost)
            longest = min(longest, often, self.target / 2 / rate)
        return longest
