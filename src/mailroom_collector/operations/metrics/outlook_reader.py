"""Reads what waits, by action, for scrapes that must not wait long for it."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mailroom_collector.report.late_mails import OutlookSource
from mailroom_collector.report.outlook import Outlook
from mailroom_runtime.errors import Unavailable

_WAIT: Final = 1.0
"""The longest time that a scrape waits, in seconds. A later scrape gets a later answer."""
_SHARE: Final = 50
"""It is asked again after so many times the duration of the last answer, but after a minute at the latest."""
_LONGEST: Final = 60.0  # seconds


class OutlookReader:
    """Asks in the background, and keeps the last answer."""

    def __init__(self, source: OutlookSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._asked_at: float | None = None
        self._ask_at = 0.0
        self._outlook = Outlook()

    def read(self) -> Outlook:
        """Return the last answer; without any, an empty one. Raises OperatorNeeded and StatementRefused."""
        with suppress(Unavailable):  # the exporter's own statements say so
            self._read()
        return self._outlook

    def _read(self) -> None:
        if self._asked_at is None:
            if self._clock() < self._ask_at:
                return
            self._ask_at = self._clock() + _LONGEST
            self._source.ask()
            self._asked_at = self._clock()
        asked_at, self._asked_at = self._asked_at, None
        outlook = self._source.answer(_WAIT)
        if outlook is None:
            self._asked_at = asked_at
            return
        now = self._clock()
        self._outlook, self._ask_at = outlook, now + min(_LONGEST, _SHARE * (now - asked_at))

    def close(self) -> None:
        """Give up a question that has no answer yet."""
        self._source.close()
        self._asked_at = None
