"""The sender's connection, shared by its workers."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from mailroom_runtime.errors import ConnectionLost, MailroomError, Unavailable
from mailroom_runtime.postgres.connection import DeadlineConnection, connect, translated
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.errors import Stopped
from mailroom_sender.input.action import LIST, KnownActions
from mailroom_sender.log import log

_NAME: Final = "mailroom-send"
"""The application_name of a sender's session."""
_BACKOFF_FIRST, _BACKOFF_CAP = 0.1, 30.0  # seconds
_GRACE: Final = 5.0
"""Seconds for which a sender that is to stop still tries to tell what it owes."""

Rows = list[tuple[Any, ...]]


def learn_once(url: DatabaseUrl | str, known: KnownActions, patience: float) -> None:
    """Read the actions by a connection of its own, if that can be had now; else say so."""
    try:
        with connect(url, _NAME, patience) as connection, translated():
            known.learn(connection.execute(LIST).fetchall())
    except MailroomError as error:
        log(f"the actions of the database can't be read now: {error}", error.level)


@dataclass(slots=True)
class _Sent:
    """A statement on its way; `rows` once its answer is read, None if it has none."""

    cursor: psycopg.Cursor[Any]
    rows: Rows | None = None


class SharedConnection:
    """One connection. open() tries once; query() tries until it is answered, or the sender stops.

    The lock is held for the time of a statement and no longer: whoever needs the connection first reads the
    answer that is on its way, for whoever asked.
    """

    def __init__(
        self,
        url: DatabaseUrl | str,
        greeting: str,
        parameters: tuple[Any, ...],
        patience: float,
        known: KnownActions | None = None,
        check: Callable[[DeadlineConnection], None] | None = None,
    ) -> None:
        """Every new connection passes `check`, runs `greeting`, and lets `known` learn.

        A statement may take `patience` seconds.
        """
        self._url = url
        self._check = check
        self._known = known
        self._patience = patience
        self._greeting = (greeting, parameters)
        self._connection: DeadlineConnection | None = None
        self._was_open = False
        self._under_way: _Sent | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._give_up_at = float("inf")

    def open(self) -> Any:
        """Connect; return what the greeting says. Raises Unavailable, OperatorNeeded or StatementRefused."""
        connection = connect(self._url, _NAME, self._patience)
        try:
            if self._check is not None:
                self._check(connection)
            with translated():
                row = connection.execute(*self._greeting).fetchone()
                self._learn(connection)
        except MailroomError:
            connection.close()
            raise
        self._connection = connection
        self._was_open = True
        return row[0] if row else None

    def learn(self) -> None:
        """Read the actions again, if that can be done now: begin and settle are more urgent. Raises MailroomError."""
        with self._lock:
            self._read()
            try:
                with translated():
                    self._learn(self._connected, strict=True)
            except MailroomError as error:
                log(f"the actions of the database can't be read now: {error}", error.level)
                raise

    def _learn(self, connection: DeadlineConnection, *, strict: bool = False) -> None:
        if self._known is None:
            return
        try:
            self._known.learn(connection.execute(LIST).fetchall())
        except psycopg.Error:
            if strict or not self._was_open:
                raise
            # What is known goes on being mailed, and settled.
            log("the actions of the database can't be read any more; those known so far are used", "warning")

    def stop(self) -> None:
        """Let waiting queries try for a grace period only."""
        self._give_up_at = time.monotonic() + _GRACE
        self._stopped.set()

    def query(self, text: str, parameters: tuple[Any, ...]) -> Rows:
        """Run a step that may be run again. Raises Stopped when it could not be before the end."""
        failures = 0
        with self._lock:
            while True:
                try:
                    if self._connection is None:
                        self.open()
                        log("connected to the database again")
                    self._read()
                    with translated():
                        return self._connected.execute(text, parameters, binary=True).fetchall()
                except MailroomError as error:
                    if isinstance(error, ConnectionLost) or not isinstance(error, Unavailable):
                        self._drop()
                    failures += 1
                    self._pause(error, failures)

    def ask(self, text: str, parameters: tuple[Any, ...]) -> Callable[[], Rows]:
        """Send a step that may be run again, without waiting; return what waits for its answer, as query() does.

        While the connection is at something else, the step is run only once it is called for.
        """
        sent: _Sent | None = None
        if self._lock.acquire(blocking=False):
            try:
                if self._under_way is None:
                    sent = self._send(text, parameters)
            finally:
                self._lock.release()

        def answer() -> Rows:
            if sent is not None:
                with self._lock:
                    if sent is self._under_way:
                        self._read()
                if sent.rows is not None:
                    return sent.rows
            return self.query(text, parameters)

        return answer

    def _send(self, text: str, parameters: tuple[Any, ...]) -> _Sent | None:
        """Send a statement; None: it failed, and query() will tell why."""
        connection = self._connection
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
        self._under_way = _Sent(cursor)
        return self._under_way

    def _read(self) -> None:
        """Read the answer that is on its way, if one is."""
        sent, self._under_way = self._under_way, None
        if sent is not None:
            try:
                self._connected.finish()
                sent.rows = sent.cursor.fetchall()
            except (psycopg.Error, ConnectionLost):
                # Whoever asked runs it again; if it only made room for others, on this connection.
                if not self._is_idle:
                    self._drop()

    @property
    def _is_idle(self) -> bool:
        return self._connection is not None and self._connection.info.transaction_status is TransactionStatus.IDLE

    @property
    def _connected(self) -> DeadlineConnection:
        if self._connection is None:
            raise ConnectionLost("not connected")
        return self._connection

    def _pause(self, error: MailroomError, failures: int) -> None:
        if time.monotonic() >= self._give_up_at:
            raise Stopped from None
        wait = min(_BACKOFF_CAP, _BACKOFF_FIRST * 2 ** min(failures - 1, 16)) * (0.5 + random.random() / 2)
        log(f"{error}; no calls are made, trying again in {wait:.1f} s", error.level)
        if self._stopped.is_set():
            time.sleep(min(wait, 0.5))
        else:
            self._stopped.wait(wait)

    def _drop(self) -> None:
        self._under_way = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()
