"""Decides when to read the queue's state, to handle notifications, and to count the due rows."""

import time
from collections.abc import Callable
from typing import Final

from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.schedule.claim_timer import ClaimTimer
from mailroom_collector.schedule.notifications import Notifications
from mailroom_collector.schedule.pause import INTERVAL, LEAST, Pause, PauseChange

_NEVER: Final = float("inf")
_MAIL_FIRST: Final = 0.005
"""Seconds from a printed row to the next count, so that the sender gets the processor first."""


class LedgerPolls:
    """Reads from the ledger when that is due, and updates the claim timer. Times are monotonic seconds."""

    def __init__(
        self, timer: ClaimTimer, notifications: Notifications, pause: Pause, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timer = timer
        self.pause = pause
        self._notifications = notifications
        self._clock = clock
        self._count_at = _NEVER
        self._state_at = self._state_read_at = 0.0

    def connected(self) -> None:
        """Begin with a new connection that listens."""
        self.timer.connected(self._clock())
        self._notifications.connected()
        self._state_at = 0.0

    def disconnected(self) -> None:
        """Read nothing, because there is no connection."""
        self.timer.disconnected()
        self._notifications.disconnected()

    def read_state(self, ledger: CollectorLedger) -> PauseChange | None:
        """Read the queue's state if that is due. Return the change if the queue was paused or resumed."""
        if self._clock() < self._state_at:
            return None
        state = ledger.read_state()
        self._state_read_at = self._clock()
        self._state_at = self._state_read_at + INTERVAL
        self._notifications.polled(another_polls_fast=state.another_polls_fast)
        change = self.pause.update(state.paused_at, state.paused_reason)
        if change is not None and not change.is_paused:
            self.timer.draining = True
        return change

    def poll(self, ledger: CollectorLedger) -> None:
        """Handle notifications, and count the due rows if there is a reason."""
        now, were_missing = self._clock(), self._notifications.are_missing
        if self._notifications.handle(ledger, now, is_busy=self.timer.draining):
            self._state_at = min(self._state_at, self._state_read_at + LEAST)
            if not self.timer.draining:
                self._announced(ledger)
        if now >= self._count_at and not self.timer.draining:
            self._count(ledger)
        if self._notifications.are_missing != were_missing:
            self.timer.set_notifications_missing(now, is_missing=self._notifications.are_missing)

    def _announced(self, ledger: CollectorLedger) -> None:
        if self.timer.batch_limit == 1:
            self.timer.draining = True  # one row is a whole batch: claim it without counting
        else:
            self._count(ledger)

    def _count(self, ledger: CollectorLedger, *, claimed_none: bool = False) -> None:
        due = ledger.count_due(self.timer.batch_limit)
        self._count_at = _NEVER
        now = self._clock()
        if self.timer.counted(now, due.waiting, due.next_due_ms, is_urgent=due.is_urgent, claimed_none=claimed_none):
            self._notifications.found_rows()
        self._notifications.polled(another_polls_fast=due.another_polls_fast)

    def found_rows(self) -> None:
        """Note that a claim found rows."""
        self._notifications.found_rows()

    def drained(self) -> None:
        """Note that nothing is due any more."""
        self.timer.drained(self._clock())

    def count_after_drain(self, ledger: CollectorLedger, *, found_rows: bool) -> None:
        """Ask when the next row becomes due: at once, or a moment after a row was printed."""
        if self._notifications.are_skipped:
            return  # fast polling counts in a moment
        if found_rows:
            self._count_at = self._clock() + _MAIL_FIRST
        else:
            self._count(ledger, claimed_none=True)  # at once: until then the timer says that it is time to claim

    def has_notifications(self, ledger: CollectorLedger) -> bool:
        """Return whether notifications came during the last statements, which the socket need not show."""
        return not self.timer.draining and ledger.link.has_notifications()

    def deadline(self) -> float:
        """Return when there is next something to ask, unless rows are being claimed."""
        return min(self.timer.deadline(), self._notifications.deadline(), self._count_at, self._state_at)
