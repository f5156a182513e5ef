"""The collector's connections: one that listens, and one that notifies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from psycopg import pq, sql

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import DeadlineConnection, connect, translated
from mailroom_runtime.postgres.schema import check_schema
from mailroom_runtime.postgres.url import DatabaseUrl

NAME: Final = "mailroom-collect"
"""The application_name of a collector's sessions."""
_NEWEST = "mailroom.mailroom_due(mailroom.job_type, integer)"
"""A function of the newest migration that the collector needs."""


@dataclass(frozen=True, slots=True)
class ListeningConnection:
    """A connection that listens on channels."""

    connection: DeadlineConnection
    _payloads: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Receive the notifications that come during a statement. A payload of others may not be valid text."""
        self.connection.pgconn.notify_handler = self._add

    def _add(self, notice: pq.PGnotify) -> None:
        if notice.be_pid != self.connection.info.backend_pid:
            self._payloads.append(notice.extra.decode(errors="replace"))

    def fileno(self) -> int:
        """Return the socket to poll."""
        return self.connection.fileno()

    def take_notifications(self) -> list[str]:
        """Return the payloads of other sessions' notifications since the last call. Raises ConnectionLost."""
        self._read_socket()
        payloads = self._payloads.copy()
        self._payloads.clear()
        return payloads

    def has_notifications(self) -> bool:
        """Return whether there are notifications. The socket may not show them. Raises ConnectionLost."""
        self._read_socket()
        return bool(self._payloads)

    def _read_socket(self) -> None:
        # As in libpq's documentation (35.9, "Asynchronous Notification"). psycopg's generator would take 0.15 ms,
        # and a mail takes 3 ms in all.
        pgconn = self.connection.pgconn
        with translated():
            pgconn.consume_input()
            while notice := pgconn.notifies():
                self._add(notice)

    def close(self) -> None:
        """Close the connection in any state."""
        self.connection.close()


def listen(
    url: DatabaseUrl | str, channels: Iterable[str], queue: str, timeout: float, *, on_notice: Callable[[str], None]
) -> ListeningConnection:
    """Connect, check that schema and queue exist, and LISTEN. Raises like connect() and check_schema()."""
    connection = connect(url, NAME, timeout)
    try:
        connection.add_notice_handler(lambda notice: on_notice(notice.message_primary or ""))
        check_schema(connection, queue, _NEWEST)
        with translated():
            for channel in channels:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    except MailroomError:
        connection.close()
        raise
    return ListeningConnection(connection)


def notify(url: DatabaseUrl | str, calls: Iterable[tuple[str, str]], timeout: float) -> None:
    """Notify each channel with its payload, from a new session. Raises like connect()."""
    with connect(url, NAME, timeout) as connection, translated():
        for channel, payload in calls:
            connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))
