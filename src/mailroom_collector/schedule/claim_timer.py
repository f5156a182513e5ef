"""Pure: when to claim, and until when to wait.

Times are monotonic seconds that the caller passes.
"""

from dataclasses import dataclass, field
from typing import Final

_LOCKED_FOR: Final = 0.2
"""Seconds until the next claim while all rows that wait are locked."""
_POLL: Final = 1.0
"""Seconds between polls while notifications don't arrive."""


@dataclass(slots=True)
class ClaimTimer:
    """When to claim.

    An idle collector waits. When a notification announces new rows, a batch begins. When the batch is full, its time is
    over, or one of its rows is urgent, the collector drains the queue: it claims until nothing is due. It also claims
    at the time of a regular poll, and when a row becomes due by itself (a retry, or a lease that has run out). While
    notifications don't arrive, it polls every second.
    """

    batch_limit: int
    batch_timeout: float
    check_interval: float
    """Seconds between polls when nothing is announced."""
    draining: bool = False
    _batch_ends: float | None = field(default=None, init=False)
    _waiting: int = field(default=0, init=False)
    _next_due: float | None = field(default=None, init=False)
    _check_at: float = field(default=0.0, init=False)
    _notifications_missing: bool = field(default=False, init=False)

    def connected(self, now: float) -> None:
        """Claim at once, because a new connection has missed the notifications before it."""
        self.draining = True
        self._check_at = now + self._interval

    def set_notifications_missing(self, now: float, *, is_missing: bool) -> None:
        """Note whether notifications arrive."""
        self._notifications_missing = is_missing
        self._check_at = min(self._check_at, now + self._interval)

    @property
    def _interval(self) -> float:
        return min(_POLL, self.check_interval) if self._notifications_missing else self.check_interval

    def counted(
        self, now: float, waiting: int, next_due_ms: int | None, *, is_urgent: bool = False, claimed_none: bool = False
    ) -> bool:
        """Note how many rows wait, and when the next one becomes due. Return whether more rows wait than before.

        `is_urgent`: one of the waiting rows ends the wait at once. `claimed_none`: a claim has just found no row that
        it could take, because another transaction has locked those that wait. They are tried again after a moment.
        """
        more, self._waiting = waiting > self._waiting, waiting
        self._check_at = now + self._interval
        self._next_due = None if next_due_ms is None else now + next_due_ms / 1000
        if waiting == 0:
            self._batch_ends = None
        elif claimed_none:
            is_full = is_urgent or waiting >= self.batch_limit
            self._batch_ends = now + (_LOCKED_FOR if is_full else max(_LOCKED_FOR, self.batch_timeout))
        elif is_urgent or waiting >= self.batch_limit:
            self.draining = True
        elif self._batch_ends is None:
            self._batch_ends = now + self.batch_timeout
        return more

    def drained(self, now: float) -> None:
        """Stop draining, because nothing is due any more. Clear the times that have passed."""
        self._reset()
        if self._next_due is not None and now >= self._next_due:
            self._next_due = None
        if now >= self._check_at:
            self._check_at = now + self._interval

    def disconnected(self) -> None:
        """Stop everything, because there is no connection."""
        self._reset()
        self._next_due = None

    def _reset(self) -> None:
        self.draining = False
        self._batch_ends = None
        self._waiting = 0

    def is_due(self, now: float) -> bool:
        """Return whether to claim now. Once it is true, it stays true until drained() is called."""
        if now >= self.deadline():
            self.draining = True
        return self.draining

    def deadline(self) -> float:
        """Return the time at which to claim even without a notification."""
        times = (self._batch_ends, self._next_due, self._check_at)
        return min(time for time in times if time is not None)
