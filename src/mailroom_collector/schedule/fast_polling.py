"""Pure: when this collector polls every few ms, so that inserts need not NOTIFY.

PostgreSQL commits transactions with NOTIFY one at a time (migrations/1_ledger). So when notifications come fast, one
collector polls the ledger every few ms, and inserts skip NOTIFY meanwhile. When few rows come, it stops. It then asks
again and again until no insert that skipped NOTIFY is in progress. Only one session at a time may poll fast. Times are
monotonic seconds that the caller passes.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mailroom_runtime.backoff import Backoff

_MANY: Final = 25
_WITHIN: Final = 0.25
"""So many notifications within so many seconds start fast polling. That is 100 a second, a twentieth of what a server
can do if each commit notifies."""
_POLL: Final = 0.02
"""Seconds between polls. So much later a mail may be sent because an insert skipped NOTIFY."""
_NOTIFY: Final = 0.1
"""Seconds from a new row until the other listening sessions are notified, such as collectors of other queues."""
_IDLE: Final = 0.25
"""Seconds without a new row after which fast polling stops."""
_IN_PROGRESS_FIRST, _IN_PROGRESS_CAP = 0.01, 1.0  # seconds between questions whether such an insert is in progress
_OTHERS: Final = 1.0
"""Seconds between polls while another session polls fast: it may have been stopped, or may be no collector."""


class PollingStep(Enum):
    """What to do now."""

    NOTHING = auto()
    POLL = auto()  # as if a notification had come
    START = auto()  # ask whether this session may poll fast
    NOTIFY = auto()  # the other sessions, for the inserts that skipped it
    STOP = auto()  # and ask whether an insert that skipped NOTIFY is in progress


_NEVER: Final = float("inf")


@dataclass(slots=True)
class FastPolling:
    """Whether this collector polls fast, and what it has to do for that."""

    is_polling: bool = field(default=False, init=False)
    _notified_at: deque[float] = field(default_factory=lambda: deque(maxlen=_MANY), init=False)
    _poll_at: float = field(default=_NEVER, init=False)
    _notify_at: float = field(default=_NEVER, init=False)
    _stop_at: float = field(default=_NEVER, init=False)
    _another_polls: bool = field(default=False, init=False)
    _in_progress: Backoff = field(default_factory=lambda: Backoff(_IN_PROGRESS_FIRST, _IN_PROGRESS_CAP), init=False)

    def connected(self, now: float) -> None:
        """Begin with a new session. Inserts that skipped NOTIFY for an earlier session may be in progress."""
        self._stop_at = now
        self._in_progress.succeeded()

    def disconnected(self) -> None:
        """Stop fast polling: its lock has ended with the session."""
        self.is_polling = self._another_polls = False
        self._poll_at = self._notify_at = self._stop_at = _NEVER
        self._notified_at.clear()

    def notified(self, now: float, notifications: int) -> None:
        """Note how many notifications came."""
        self._notified_at.extend([now] * min(notifications, _MANY))

    def found_rows(self, now: float) -> None:
        """Note that there were new rows."""
        if self.is_polling:
            self._stop_at = now + _IDLE
            self._notify_at = min(self._notify_at, now + _NOTIFY)

    def polled(self, now: float, *, another_polls: bool) -> None:
        """Note what the ledger said: whether another collector polls fast."""
        if another_polls:
            # Poll at once: what was inserted since the other one started did not notify.
            self._poll_at = min(self._poll_at, now + _OTHERS) if self._another_polls else now
        elif self._another_polls:
            self.connected(now)  # the other one may have left inserts that skipped NOTIFY, too
        self._another_polls = another_polls

    def next_step(self, now: float) -> PollingStep:
        """Return the next step. To be called until it returns NOTHING."""
        if not self.is_polling and len(self._notified_at) == _MANY and self._notified_at[0] >= now - _WITHIN:
            return PollingStep.START
        if now >= self._stop_at:
            return PollingStep.STOP
        if now >= self._notify_at:
            return PollingStep.NOTIFY
        if now >= self._poll_at:
            self._poll_at = self._next_poll(now)
            return PollingStep.POLL
        return PollingStep.NOTHING

    def _next_poll(self, now: float) -> float:
        """Return when to poll again without a notification: every second while such inserts are in progress."""
        if self.is_polling:
            return now + _POLL
        return now + _OTHERS if self._stop_at < _NEVER else _NEVER

    def started(self, now: float, *, is_allowed: bool) -> None:
        """Note that START was done; it is allowed to one session at a time."""
        self._notified_at.clear()
        if is_allowed:
            self.is_polling = True
            self._poll_at = now + _POLL
            self.found_rows(now)

    def notified_others(self) -> None:
        """Note that NOTIFY was done."""
        self._notify_at = _NEVER

    def stopped(self, now: float, random: float, *, all_ended: bool) -> None:
        """Note that STOP was done. `all_ended`: all inserts that skipped NOTIFY have ended, so one more poll is enough.

        Until then it polls every second. That may last for hours: any role may hold the lock that such inserts hold.
        """
        if self.is_polling:
            self.is_polling = False
            self._notify_at = self._poll_at = _NEVER
            self._in_progress.succeeded()
        self._poll_at = now if all_ended else min(self._poll_at, now + _OTHERS)
        self._stop_at = _NEVER if all_ended else now + self._in_progress.failed(random)

    def deadline(self) -> float:
        """Return when there is next something to do."""
        return min(self._poll_at, self._notify_at, self._stop_at)
