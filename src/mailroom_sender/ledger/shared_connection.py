"""Shares the sender's session among its worker threads. A worker can send a statement, and wait for it later."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from mailroom_runtime.errors import ConnectionLost, MailroomError, Unavailable
from mailroom_sender.ledger.retry_wait import RetryWait
from mailroom_sender.ledger.session import DatabaseSession
from mailroom_sender.log import log

Rows = list[tuple[Any, ...]]


@dataclass(slots=True)
class _Sent:
    """A statement that was sent. `rows` has its answer; None until the answer is read, or if reading failed."""

    cursor: psycopg.Cursor[Any]
    rows: Rows | None = None


class SharedConnection:
    """open() tries once. query() tries until it gets an answer, or the sender stops. Callable from any thread.

    The lock is held only for the time of one statement. A thread that needs the connection first reads the answer that
    another thread waits for.
    """

    def __init__(self, session: DatabaseSession, wait: RetryWait | None = None) -> None:
        self._session = session
        self._wait = wait or RetryWait()
        self._in_progress: _Sent | None = None
        self._lock = threading.Lock()

    def open(self) -> Any:
        """Connect, and return the value of first_statement. Raises Unavailable, OperatorNeeded or StatementRefused."""
        return self._session.open()

    def read_actions(self) -> None:
        """Try once to read the actions again, because begin and settle are more urgent. Raises MailroomError."""
        with self._lock:
            self._read()
            self._session.read_actions()

    def query_once(self, text: str, parameters: tuple[Any, ...]) -> Rows:
        """Run a statement without a second try. Raises MailroomError."""
        with self._lock:
            self._read()
            return self._session.execute(text, parameters)

    def stop(self) -> None:
        """Let waiting queries try only for a grace period."""
        self._wait.stop()

    def query(self, text: str, parameters: tuple[Any, ...]) -> Rows:
        """Run a statement that may be run again. Raises Stopped when it could not be run before the sender stopped."""
        failures = 0
        with self._lock:
            while True:
                try:
                    return self._run(text, parameters)
                except MailroomError as error:
                    if isinstance(error, ConnectionLost) or not isinstance(error, Unavailable):
                        self._drop()
                    failures += 1
                    self._wait(error, failures)

    def _run(self, text: str, parameters: tuple[Any, ...]) -> Rows:
        if self._session.connection is None:
            self.open()
            log("connected to the database again", event="database_connected")
        self._read()
        return self._session.execute(text, parameters)

    def query_soon(self, text: str, parameters: tuple[Any, ...]) -> Callable[[], Rows]:
        """Send a statement that may be run again. Return a function that waits for its answer like query().

        If the connection is busy now, that function also sends the statement.
        """
        sent: _Sent | None = None
        if self._lock.acquire(blocking=False):
            try:
                if self._in_progress is None:
                    sent = self._send(text, parameters)
            finally:
                self._lock.release()

        def answer() -> Rows:
            if sent is not None:
                with self._lock:
                    if sent is self._in_progress:
                        self._read()
                if sent.rows is not None:
                    return sent.rows
            return self.query(text, parameters)

        return answer

    def _send(self, text: str, parameters: tuple[Any, ...]) -> _Sent | None:
        """Send a statement. Return None if that failed: query() will try again, and log the reason."""
        connection = self._session.connection
        if connection is None:
            return None
        connection.sends_only = True
        try:
            cursor = connection.execute(text, parameters, binary=True)
        except psycopg.Error:
            self._drop()
            return None
        finally:
            connection.sends_only = False
        self._in_progress = _Sent(cursor)
        return self._in_progress

    def _read(self) -> None:
        """Read the answer of the statement in progress, if there is one."""
        sent, self._in_progress = self._in_progress, None
        if sent is not None:
            try:
                self._session.connected.finish()
                sent.rows = sent.cursor.fetchall()
            except (psycopg.Error, ConnectionLost):
                # The thread that asked runs the statement again. It uses this connection if it is still good.
                if not self._session.is_idle:
                    self._drop()

    def _drop(self) -> None:
        self._in_progress = None
        self._session.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()
