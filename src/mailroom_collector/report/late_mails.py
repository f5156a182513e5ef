"""Logs when mails of a backlog will expire before their turn, and when that is over."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from mailroom_collector.log import log
from mailroom_collector.report.outlook import Outlook, late_words, new_words, sentences
from mailroom_runtime.errors import MailroomError, Unavailable

_AFTER: Final = 30.0
"""Seconds that a backlog lasts before the first question. A shorter one needs none."""
_EVERY: Final = 60.0  # seconds from one question to the next
_CHECK_AGAIN: Final = 0.2  # seconds between two checks for the answer
_NEVER: Final = float("inf")


class OutlookSource(Protocol):
    """Answers what waits, and what of it will be late. The methods raise MailroomError."""

    def ask(self) -> None:
        """Send the question."""

    def answer(self, wait: float = 0.0) -> Outlook | None:
        """Return the answer; None if it does not come within `wait` seconds."""

    def close(self) -> None:
        """Give up the question."""


class LateMails:
    """Asks once a minute while a backlog is worked off. Times are monotonic seconds."""

    def __init__(self, source: OutlookSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._ask_at = _NEVER
        self._is_asked = False
        self._are_late = False
        self._may_ask = True
        self.due_at = _NEVER
        """When to call check() next; infinity while there is no backlog."""

    def check(self, *, is_backlog: bool) -> None:
        """Note whether a backlog is being worked off. Ask, or log the answer, if that is due."""
        if not is_backlog:
            self.suspend()
            if self._are_late:
                self._over(0)
            return
        now = self._clock()
        if self.due_at == _NEVER and self._may_ask:
            self._ask_at = self.due_at = now + _AFTER
        if now < self.due_at:
            return
        try:
            self._step(now)
        except MailroomError as error:
            self._failed(error)

    def suspend(self) -> None:
        """Ask nothing until the next check(): there is no connection, or the queue is paused."""
        if self._is_asked:
            self._source.close()
        self._is_asked, self.due_at = False, _NEVER

    def _step(self, now: float) -> None:
        if not self._is_asked:
            self._ask_at, self._is_asked = now + _EVERY, True
            self._source.ask()
        outlook = self._source.answer()
        if outlook is None and now < self._ask_at:
            self.due_at = now + _CHECK_AGAIN
            return
        self._is_asked, self.due_at = False, self._ask_at
        if outlook is not None:
            self._answered(outlook)

    def _answered(self, outlook: Outlook) -> None:
        if outlook.late and not self._are_late:
            self._are_late = True
            log(
                f"{sentences([f'{late_words(outlook)}, and will be skipped', *new_words(outlook)])} This is logged"
                " once; 'mailroom-collect status' shows it by action, and docs/before-an-import.md says what to do",
                "warning",
                event="mails_late",
                late=outlook.late,
                waiting=outlook.waiting,
                rate_per_s=None if outlook.rate_per_s is None else round(outlook.rate_per_s, 1),
            )
        elif self._are_late and not outlook.late and outlook.rate_per_s is not None:
            self._over(outlook.waiting)

    def _over(self, waiting: int) -> None:
        self._are_late = False
        log("no waiting mail will expire before its turn any more", event="mails_in_time", waiting=waiting)

    def _failed(self, error: MailroomError) -> None:
        """Ask again in a minute if that may help. The loss of the database is logged by the session."""
        self._source.close()
        self._is_asked, self.due_at = False, self._ask_at
        if not isinstance(error, Unavailable):
            self._may_ask, self.due_at = False, _NEVER
            log(
                f"the ledger does not tell whether mails will expire before their turn: {error}; this process does not"
                " ask again",
                "warning",
                event="outlook_unavailable",
                reason=error.message,
                hint=error.hint or None,
            )
