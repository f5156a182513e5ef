"""Reads what waits, by action, and what of it will be late (mailroom_outlook)."""

import select
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from mailroom_collector.report.outlook import ActionOutlook, Outlook
from mailroom_runtime.postgres.connection import DeadlineConnection, translated

_QUERY: Final = (
    "SELECT action, waiting, claimed, extract(epoch FROM now() - queued_at)::float8, late, wait_s, late_from, rate"
    " FROM mailroom.mailroom_outlook(%s::mailroom.job_type, NULL)"
)


def read_outlook(connection: DeadlineConnection, queue: str) -> Outlook:
    """Read what waits, at the rate that the ledger shows. Raises psycopg's errors."""
    return _outlook(connection.execute(_QUERY, (queue,)).fetchall())


def _outlook(rows: Sequence[Sequence[Any]]) -> Outlook:
    return Outlook([ActionOutlook(*row[:7]) for row in rows], rows[0][7] if rows else None)


class OutlookQuestion:
    """Asks on a connection of its own, so that its owner does not wait while the server counts.

    For 100,000 waiting rows the server takes 0.15 s, for a million some seconds.
    """

    def __init__(self, connect: Callable[[], DeadlineConnection], queue: str) -> None:
        self._connect = connect
        self._queue = queue
        self._connection: DeadlineConnection | None = None
        self._cursor: psycopg.Cursor[Any] | None = None

    def ask(self) -> None:
        """Connect and send the question. Raises like connect(), and what translated() raises."""
        self.close()
        self._connection = self._connect()
        with translated():
            self._connection.sends_only = True
            self._cursor = self._connection.execute(_QUERY, (self._queue,))

    def answer(self, wait: float = 0.0) -> Outlook | None:
        """Return the answer, or None if it does not come within `wait` seconds. Raises what translated() raises."""
        connection, cursor = self._connection, self._cursor
        if connection is None or cursor is None or not select.select([connection], [], [], wait)[0]:
            return None
        try:
            with translated():
                connection.sends_only = False
                connection.finish()
                return _outlook(cursor.fetchall())
        finally:
            self.close()

    def close(self) -> None:
        """End the session. A question without an answer is cancelled."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._cursor = None
