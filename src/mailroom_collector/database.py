"""A connection that listens; and what a failure means: try again, or an operator must act."""

import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import adapt, conninfo, errors, pq, sql

from mailroom_runtime.errors import ConnectionLost, MailroomError, OperatorNeeded

_CONNECT: Final = 5.0  # seconds to connect, at most
_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "mailroom-collect",
    "client_encoding": "utf-8",
    # A peer that vanished is noticed within half a minute (libpq, 34.1.2).
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}

_READY_NONE: Final = 0  # nothing happened on the socket for a while (psycopg.waiting)
_WAIT_READ: Final = 1  # all is sent, the answer has not come (psycopg.waiting)

_CLAIM = "mailroom_claim_any(job_type,text,integer,integer,timestamptz,bigint,smallint)"
_MIGRATE = "run 'mailroom-collect migrate' with a role that owns the database"

_CONNECT_FAILURES: Final = (
    # libpq hands over no SQLSTATE for a connection that failed, only the server's words.
    (r"password authentication failed|no password supplied", "correct the password in MAILROOM_DATABASE_URL"),
    (r'database ".*" does not exist', "create it, or correct MAILROOM_DATABASE_URL"),
    (r'role ".*" does not exist', "create it, or correct MAILROOM_DATABASE_URL"),
    (r"no pg_hba.conf entry|is not permitted to log in|authentication failed", "let this role in, in pg_hba.conf"),
    (r"permission denied for database", "grant CONNECT to this role"),
)


class Impatient(psycopg.Connection[Any]):
    """A connection that gives a statement up whose answer does not come.

    A network that swallows packets, or a peer that only acknowledges them, is not seen by TCP.
    """

    patience: float = float("inf")
    """Seconds."""
    _meanwhile: Callable[[], None] | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does. Raises psycopg.OperationalError when the patience ends."""
        return super().wait(_limited(gen, self.patience, self._work), *args, **kwargs)

    def _work(self) -> None:
        work, self._meanwhile = self._meanwhile, None
        if work is not None:
            work()

    @contextmanager
    def meanwhile(self, work: Callable[[], None]) -> Iterator[None]:
        """Do the work once, while the server is at the next statement; at the end of the block at the latest.

        It must not use this connection. What it raises leaves the statement without its answer, and the
        connection of no more use.
        """
        self._meanwhile = work
        yield
        self._work()


def _limited(gen: Generator[Any, Any, Any], patience: float, when_sent: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Pass on what the generator wants of its socket, until the patience ends."""
    ends = time.monotonic() + patience
    try:
        wanted = next(gen)
        while True:
            if wanted == _WAIT_READ:
                when_sent()
            ready = yield wanted
            if ready == _READY_NONE and time.monotonic() >= ends:
                raise psycopg.OperationalError(f"the server has not answered for {patience:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


class _AnyBytes(adapt.Loader):
    """Text of a database without an encoding: what is not UTF-8 becomes surrogates, which are found later."""

    def load(self, data: bytes | bytearray | memoryview) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class _AnyBytesBinary(_AnyBytes):
    format = pq.Format.BINARY


@dataclass(frozen=True, slots=True)
class Link:
    """A connection that listens on the channel."""

    connection: Impatient
    _rung: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Hear what comes in during a statement, as bytes: anybody may notify, with a payload that is no text."""
        self.connection.pgconn.notify_handler = self._ring

    def _ring(self, notice: pq.PGnotify) -> None:
        if notice.be_pid != self.connection.info.backend_pid:
            self._rung.append(notice.extra.decode(errors="replace"))

    def fileno(self) -> int:
        """Return the socket to poll."""
        return self.connection.fileno()

    def notifications(self) -> list[str]:
        """Take what notifications of other sessions there are, and return their payloads. Raises ConnectionLost."""
        self._hear()
        payloads = self._rung.copy()
        self._rung.clear()
        return payloads

    def was_rung(self) -> bool:
        """Say whether there are notifications to take, which the socket need not show. Raises ConnectionLost."""
        self._hear()
        return bool(self._rung)

    def _hear(self) -> None:
        # As libpq says (35.9, "Asynchronous Notification"): psycopg's generator would take 0.15 ms, of a mail's 3.
        pgconn = self.connection.pgconn
        with translated():
            pgconn.consume_input()
            while notice := pgconn.notifies():
                self._ring(notice)

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self.connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ConnectionLost or OperatorNeeded, the rest into MailroomError."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedFunction, errors.UndefinedObject, errors.UndefinedColumn) as error:
        raise OperatorNeeded(f"the database schema is not this version's: {_first_line(error)}", _MIGRATE) from None
    except errors.InsufficientPrivilege as error:
        raise OperatorNeeded(
            f"the database role may not do this: {_first_line(error)}", "grant it (README, 'Database roles')"
        ) from None
    except errors.ReadOnlySqlTransaction:
        raise OperatorNeeded(
            "the database is a read-only standby", "name the primary in MAILROOM_DATABASE_URL"
        ) from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise ConnectionLost(f"the database connection is lost: {_first_line(error)}") from None
    except psycopg.Error as error:
        raise MailroomError(f"the database refused a statement: {error.sqlstate} {_first_line(error)}") from None


def check_url(url: str) -> None:
    """Raise ValueError when libpq can't read it; the text does not repeat it, it may hold a password."""
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("it is not a libpq URL or key=value string") from None


def connect(url: str, patience: float = float("inf")) -> Impatient:
    """Open a connection in autocommit, on which a statement may take `patience` seconds.

    Raises ConnectionLost, or OperatorNeeded with what to do.
    """
    given = conninfo.conninfo_to_dict(url)
    defaults = _DEFAULTS | {"connect_timeout": int(min(_CONNECT, max(2.0, patience)))}
    options: dict[str, Any] = {name: value for name, value in defaults.items() if name not in given}
    try:
        # Without prepared statements, which a pooler in transaction mode would mix up.
        connection = Impatient.connect(url, autocommit=True, prepare_threshold=None, **options)
    except psycopg.Error as error:
        raise _connect_failure(error) from None
    connection.patience = patience
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        with translated():
            connection.execute("SET client_encoding TO SQL_ASCII")  # else the server refuses whole results
        for loader in (_AnyBytes, _AnyBytesBinary):
            connection.adapters.register_loader("text", loader)
    return connection


def _connect_failure(error: psycopg.Error) -> MailroomError:
    text = _first_line(error)
    for pattern, hint in _CONNECT_FAILURES:
        if re.search(pattern, text):
            return OperatorNeeded(text, hint)
    return ConnectionLost(text)


def listen(url: str, channel: str, queue: str, patience: float, *, on_notice: Callable[[str], None]) -> Link:
    """Connect, see that schema and queue are there, and LISTEN. Raises like connect()."""
    connection = connect(url, patience)
    try:
        connection.add_notice_handler(lambda notice: on_notice(notice.message_primary or ""))
        with translated():
            check_schema(connection, queue, _CLAIM)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    except MailroomError:
        connection.close()
        raise
    return Link(connection)


def notify(url: str, channel: str, payload: str, patience: float) -> None:
    """Notify the channel from a session of its own. Raises like connect()."""
    with connect(url, patience) as connection, translated():
        connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))


def check_schema(connection: psycopg.Connection[Any], queue: str, step: str) -> None:
    """See that schema, step (a function with the types of its arguments) and queue are there.

    Raises OperatorNeeded, and psycopg's own errors.
    """
    row = connection.execute(
        "SELECT to_regclass('tokens') IS NOT NULL, to_regprocedure(%s) IS NOT NULL", (step,)
    ).fetchone()
    has_tokens, has_steps = row or (False, False)
    if not has_tokens:
        raise OperatorNeeded(f'database "{connection.info.dbname}" has no mailroom schema', _MIGRATE)
    if not has_steps:
        raise OperatorNeeded(f'the mailroom schema in database "{connection.info.dbname}" is outdated', _MIGRATE)
    names = connection.execute(
        "SELECT enumlabel::text FROM pg_enum WHERE enumtypid = 'job_type'::regtype ORDER BY enumsortorder"
    ).fetchall()
    if queue not in {name for (name,) in names}:
        raise OperatorNeeded(
            f'there is no queue "{queue}" in this database',
            f"set MAILROOM_QUEUE_NAME to one of: {', '.join(name for (name,) in names)}",
        )


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
