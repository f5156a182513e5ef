"""Reads the state of the queue again and again. It reads the costly parts less often."""

import time
from collections.abc import Callable
from typing import Final

from mailroom_collector.ledger.outlook import read_outlook
from mailroom_collector.operations.figures import History, ListenResult, Overview
from mailroom_collector.operations.queries.listen_test import ListenTest
from mailroom_collector.operations.queries.overview import (
    read_history,
    read_progress,
    read_public,
    read_pulse,
    read_sessions,
)
from mailroom_collector.operations.queries.paced import Paced
from mailroom_collector.operations.queries.session import one_snapshot, open_session
from mailroom_collector.report.outlook import Outlook
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.postgres.url import DatabaseUrl

_HISTORY_SHARE: Final = 50
"""The history is read again after so many times the duration of the last read: a day may have millions of rows."""
_OUTLOOK_SHARE: Final = 20
"""The same for what waits by action, which may be many rows too."""
_LISTEN_TEST_INTERVAL: Final = 15.0  # seconds
_PULSE_SECONDS: Final = 200


class LiveStatus:
    """Reads the state of one queue. It connects again after a failure."""

    def __init__(
        self,
        url: DatabaseUrl | str,
        queue: str,
        pulse_seconds: int = _PULSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pulse_seconds`: the number of last seconds for which the mails of each second are counted."""
        self._url = url
        self._queue = queue
        self._pulse_seconds = pulse_seconds
        self._clock = clock
        self._connection: DeadlineConnection | None = None
        self._listen_test: ListenTest | None = None
        self._listen_result = ListenResult(None, problem="not yet")
        self._listen_test_at = 0.0
        self._history = Paced[History](_HISTORY_SHARE, clock)
        self._outlook = Paced[Outlook](_OUTLOOK_SHARE, clock)

    def read(self) -> Overview:
        """Return the state of the queue. Raises MailroomError; the next call then connects again."""
        try:
            return self._read()
        except MailroomError:
            self.close()
            raise

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self) -> Overview:
        if self._connection is None:
            self._connection = open_session(self._url, self._queue)
            self._listen_test = ListenTest(self._connection, self._url)
            self._listen_test_at = self._clock()
        connection = self._connection
        with one_snapshot(connection):
            progress = read_progress(connection, self._queue)
            history = self._history.read(lambda: read_history(connection, self._queue))
            outlook = self._outlook.read(lambda: read_outlook(connection, self._queue))
            pulse = read_pulse(connection, self._queue, self._pulse_seconds)
            sessions = read_sessions(connection)
            public = read_public(connection)
        if self._listen_test is not None and self._clock() >= self._listen_test_at:
            self._listen_result = self._listen_test.run()
            self._listen_test_at = self._clock() + _LISTEN_TEST_INTERVAL
        return Overview(self._queue, progress, history, self._listen_result, sessions, pulse, public, outlook)
