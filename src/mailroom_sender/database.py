"""The sender's connection, shared by its workers; what a failure means."""

import random
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors

from mailroom_runtime.errors import ConnectionLost, MailroomError, OperatorNeeded
from mailroom_sender.actions import LIST, Known
from mailroom_sender.errors import Stopped
from mailroom_sender.log import log

_DEFAULTS: Final = {
    "application_name": "mailroom-send",
    "client_encoding": "utf-8",
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}
_READY_NONE: Final = 0  # nothing happened on the socket for a while (psycopg.waiting)
_WAIT_READ: Final = 1  # all is sent, the answer has not come (psycopg.waiting)
_BACKOFF_FIRST, _BACKOFF_CAP = 0.1, 30.0  # seconds
_GRACE: Final = 5.0
"""Seconds for which a sender that is to stop still tries to tell what it owes."""

Rows = list[tuple[Any, ...]]

_MIGRATE = "run 'mailroom-collect migrate' with a role that owns the database"
# libpq hands over no SQLSTATE for a connection that failed, only the server's words.
_OPERATOR = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba.conf entry"
    r"|is not permitted to log in|permission denied for database"
)


def check_url(url: str) -> None:
    """Raise ValueError when libpq can't read it; the text does not repeat it, it may hold a password."""
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("it is not a libpq URL or key=value string") from None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedFunction, errors.UndefinedTable, errors.UndefinedObject) as error:
        raise OperatorNeeded(f"the mailroom schema is missing or outdated: {_first_line(error)}", _MIGRATE) from None
    except errors.InvalidTextRepresentation as error:
        raise OperatorNeeded(
            f"no such queue: {_first_line(error)}", "set MAILROOM_QUEUE_NAME to a row of jobs"
        ) from None
    except errors.NoDataFound as error:
        raise OperatorNeeded(f"no such queue: {_first_line(error)}", "insert that row in jobs") from None
    except errors.InsufficientPrivilege as error:
        raise OperatorNeeded(
            f"the database role may not do this: {_first_line(error)}", "grant it (README, 'Database roles')"
        ) from None
    except psycopg.Error as error:
        text = _first_line(error)
        if _OPERATOR.search(text):
            raise OperatorNeeded(text, "correct MAILROOM_DATABASE_URL, or let this role in") from None
        raise ConnectionLost(text) from None


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


class Impatient(psycopg.Connection[Any]):
    """A connection that gives a statement up whose answer does not come.

    A network that swallows packets, or a peer that only acknowledges them, is not seen by TCP.
    """

    patience: float = float("inf")
    """Seconds."""
    sends_only: bool = False
    """Whether statements are only sent, and finish() is to be called for their answer."""
    _under_way: Generator[Any, Any, Any] | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does. Raises psycopg.OperationalError when the patience ends."""
        if self.sends_only:
            self._under_way = gen
            return super().wait(_limited(_until_sent(gen), self.patience), *args, **kwargs)
        return super().wait(_limited(gen, self.patience), *args, **kwargs)

    def finish(self) -> None:
        """Wait for the answer to the statement that is sent; its cursor has the rows then. Raises like wait()."""
        gen, self._under_way = self._under_way, None
        if gen is not None:
            super().wait(_limited(_from_sent(gen), self.patience))


def _limited(gen: Generator[Any, Any, Any], patience: float) -> Generator[Any, Any, Any]:
    """Pass on what the generator wants of its socket, until the patience ends."""
    ends = time.monotonic() + patience
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready == _READY_NONE and time.monotonic() >= ends:
                raise psycopg.OperationalError(f"the server has not answered for {patience:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


def _until_sent(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
    """Pass on what the generator wants, until that is an answer, or it has all."""
    with suppress(StopIteration):
        wanted = next(gen)
        while wanted != _WAIT_READ:
            wanted = gen.send((yield wanted))


def _from_sent(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Pass on what it wants from there on."""
    wanted = _WAIT_READ
    try:
        while True:
            wanted = gen.send((yield wanted))
    except StopIteration as done:
        return done.value


def _connect(url: str, patience: float) -> Impatient:
    given = conninfo.conninfo_to_dict(url)
    options: dict[str, Any] = {name: value for name, value in _DEFAULTS.items() if name not in given}
    # Without prepared statements, which a pooler in transaction mode would mix up.
    connection = Impatient.connect(url, autocommit=True, prepare_threshold=None, **options)
    connection.patience = patience
    return connection


def learn_once(url: str, known: Known, patience: float) -> None:
    """Read the actions by a connection of its own, if that can be had now; else say so."""
    try:
        with _translated(), _connect(url, patience) as connection:
            known.learn(connection.execute(LIST).fetchall())
    except MailroomError as error:
        log(f"the actions of the database can't be read now: {error}", "warning")


@dataclass(slots=True)
class _Sent:
    """A statement on its way; `rows` once its answer is read, None if it has none."""

    cursor: psycopg.Cursor[Any]
    rows: Rows | None = None


class Database:
    """One connection. open() tries once; query() tries until it is answered, or the sender stops.

    The lock is held for the time of a statement and no longer: whoever needs the connection first reads the
    answer that is on its way, for whoever asked.
    """

    def __init__(
        self, url: str, greeting: str, parameters: tuple[Any, ...], patience: float, known: Known | None = None
    ) -> None:
        """Every new connection runs `greeting`, and lets `known` learn; a statement may take `patience` seconds."""
        self._url = url
        self._known = known
        self._patience = patience
        self._greeting = (greeting, parameters)
        self._connection: Impatient | None = None
        self._was_open = False
        self._under_way: _Sent | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._give_up_at = float("inf")

    def open(self) -> Any:
        """Connect; return what the greeting says. Raises ConnectionLost or OperatorNeeded."""
        with _translated():
            connection = _connect(self._url, self._patience)
            try:
                row = connection.execute(self._greeting[0].encode(), self._greeting[1]).fetchone()
                self._learn(connection)
            except psycopg.Error:
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
                with _translated():
                    self._learn(self._connected, strict=True)
            except MailroomError as error:
                log(f"the actions of the database can't be read now: {error}", "warning")
                raise

    def _learn(self, connection: Impatient, *, strict: bool = False) -> None:
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
                    with _translated():
                        return self._connected.execute(text.encode(), parameters, binary=True).fetchall()
                except MailroomError as error:
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
            cursor = connection.execute(text.encode(), parameters, binary=True)
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
                self._drop()

    @property
    def _connected(self) -> Impatient:
        if self._connection is None:
            raise ConnectionLost("not connected")
        return self._connection

    def _pause(self, error: MailroomError, failures: int) -> None:
        if time.monotonic() >= self._give_up_at:
            raise Stopped from None
        wait = min(_BACKOFF_CAP, _BACKOFF_FIRST * 2 ** min(failures - 1, 16)) * (0.5 + random.random() / 2)
        log(f"the database does not answer, no calls are made: {error}; trying again in {wait:.1f} s", "warning")
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
