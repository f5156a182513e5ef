"""Connects to PostgreSQL. Statements have a deadline, and the table of failures translates errors."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import psycopg
from psycopg import adapt, capabilities, conninfo, pq
from psycopg.abc import Params, Query

from mailroom_runtime.errors import (
    ConnectionLost,
    MailroomError,
    OperatorNeeded,
    SettingError,
    StatementRefused,
    Unavailable,
)
from mailroom_runtime.postgres import failures
from mailroom_runtime.postgres.failures import DatabaseFailure, Meaning
from mailroom_runtime.postgres.pins import PIN, PINS
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.schema_name import qualified

OPERATOR: Final = "mailroom-operator"
"""The application_name of an operator's commands. They don't count as a collector or sender."""
_CONNECT: Final = 5.0  # seconds to connect, at most
_CANCEL: Final = 2.0  # seconds to cancel a statement, at most
_SERVER_LATER: Final = 5.0
"""The server ends a statement so many seconds after its deadline. That matters if the program was killed."""
_TRIES: Final = 5
"""The largest number of tries of a statement that the server rolls back."""
_DEFAULTS: Final[dict[str, Any]] = {
    "client_encoding": "utf-8",
    # With these, the program notices within half a minute that the server has vanished (libpq, 34.1.2).
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}

_READY_NONE: Final = 0  # nothing happened on the socket for a while (psycopg.waiting)
_WAIT_READ: Final = 1  # all is sent, the answer has not come (psycopg.waiting)


class _NoAnswer(psycopg.OperationalError):
    """The deadline of a statement passed."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that gives up a statement after its deadline.

    TCP does not notice a network that drops packets, or a peer that acknowledges packets and does nothing else. After
    the deadline the connection cancels the statement and closes. Without the cancel, its session would go on at the
    server, and each new connection would add another one.
    """

    timeout: float = float("inf")
    """Seconds that a statement may take."""
    schema: str | None = None
    """The schema that replaces `mailroom` in statements. None: the search path finds it."""
    sends_only: bool = False
    """True: execute() only sends a statement, and finish() waits for its answer."""
    _pending: Generator[Any, Any, Any] | None = None
    _meanwhile: Callable[[], None] | None = None

    def execute(self, query: Query | str, params: Params | None = None, **kwargs: Any) -> psycopg.Cursor[Any]:
        """Run a statement like psycopg, but with the schema of this connection.

        If the server rolled the statement back because of other transactions, it is run again at once. Within a
        transaction it is not, because the server rolled back the whole transaction.
        """
        if isinstance(query, str):
            query = qualified(query, self.schema).encode()
        tries = _TRIES
        while True:
            tries -= 1
            try:
                return super().execute(query, params, **kwargs)  # type: ignore[arg-type] # psycopg 3.3 knows more kinds
            except psycopg.OperationalError as error:
                if not tries or not self._may_retry(error):
                    raise

    def _may_retry(self, error: psycopg.Error) -> bool:
        is_idle = self.info.transaction_status is pq.TransactionStatus.IDLE
        return is_idle and failures.by_sqlstate(error.sqlstate or "").meaning is Meaning.RETRY

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait like psycopg. Closes the connection and raises psycopg.OperationalError at the deadline."""
        if self.sends_only:
            self._pending, gen = gen, _until_sent(gen)
        try:
            return super().wait(_limited(gen, self.timeout, self._work), *args, **kwargs)
        except _NoAnswer:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection in any state. Cancels the statement that the server runs."""
        if self.info.transaction_status is pq.TransactionStatus.ACTIVE and capabilities.has_cancel_safe():
            with suppress(psycopg.Error, OSError):
                self.cancel_safe(timeout=_CANCEL)
        super().close()

    def finish(self) -> None:
        """Wait for the answer to the statement that was sent. Its cursor then has the rows. Raises like wait()."""
        gen, self._pending = self._pending, None
        if gen is not None:
            self.wait(_from_sent(gen))

    @contextmanager
    def meanwhile(self, work: Callable[[], None]) -> Iterator[None]:
        """Call `work` once: while the server runs the next statement, or else at the end of the block.

        The work must not use this connection. If it raises, the statement has no answer, and the connection can't be
        used any more.
        """
        self._meanwhile = work
        yield
        self._work()

    def _work(self) -> None:
        work, self._meanwhile = self._meanwhile, None
        if work is not None:
            work()


def _limited(gen: Generator[Any, Any, Any], timeout: float, when_sent: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Yield what the generator waits for, until the deadline. Call `when_sent` once the statement is sent."""
    ends = time.monotonic() + timeout
    try:
        wanted = next(gen)
        while True:
            if wanted == _WAIT_READ:
                when_sent()
            ready = yield wanted
            if ready == _READY_NONE and time.monotonic() >= ends:
                raise _NoAnswer(f"the server has not answered for {timeout:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


def _until_sent(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
    """Yield what the generator waits for, until it waits for an answer or ends."""
    with suppress(StopIteration):
        wanted = next(gen)
        while wanted != _WAIT_READ:
            wanted = gen.send((yield wanted))


def _from_sent(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Yield what the generator waits for after _until_sent()."""
    wanted = _WAIT_READ
    try:
        while True:
            wanted = gen.send((yield wanted))
    except StopIteration as done:
        return done.value


class _AnyBytes(adapt.Loader):
    """Reads text of a database without an encoding. Bytes that are not UTF-8 become surrogates, rejected later."""

    def load(self, data: bytes | bytearray | memoryview) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class _AnyBytesBinary(_AnyBytes):
    format = pq.Format.BINARY


def connect(url: DatabaseUrl | str, name: str, timeout: float = float("inf")) -> DeadlineConnection:
    """Open a connection in autocommit mode. Each statement may take `timeout` seconds.

    `name` is its application_name. Raises ConnectionLost, or OperatorNeeded with a hint.
    """
    try:
        text = url if isinstance(url, str) else url.read()
    except SettingError as error:
        raise OperatorNeeded(error.message, error.hint) from None
    defaults = _DEFAULTS | {"application_name": name, "connect_timeout": int(min(_CONNECT, max(2.0, timeout)))}
    given = conninfo.conninfo_to_dict(text)
    options: dict[str, Any] = {name: value for name, value in defaults.items() if name not in given}
    try:
        # Without prepared statements: a pooler in transaction mode would mix them up.
        connection = DeadlineConnection.connect(text, autocommit=True, prepare_threshold=None, **options)
    except psycopg.Error as error:
        raise _connect_failure(error) from None
    connection.timeout = timeout
    connection.schema = None if isinstance(url, str) else url.schema
    try:
        _pin_settings(connection)
    except MailroomError:
        connection.close()
        raise
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        _accept_any_bytes(connection)
    return connection


def _pin_settings(connection: DeadlineConnection) -> None:
    """Override settings of the role and the database, unless a pooler shares this session."""
    limit = connection.timeout + _SERVER_LATER
    pins = PINS | {"statement_timeout": str(int(1000 * limit)) if limit < float("inf") else "0"}
    with translated():
        connection.execute(PIN, (list(pins), list(pins.values()), connection.info.backend_pid))


def _accept_any_bytes(connection: DeadlineConnection) -> None:
    with translated():
        connection.execute("SET client_encoding TO SQL_ASCII")  # else the server refuses whole results
    for loader in (_AnyBytes, _AnyBytesBinary):
        connection.adapters.register_loader("text", loader)


@contextmanager
def translated(grant: str = failures.GRANT) -> Iterator[None]:
    """Turn psycopg's errors into Unavailable, ConnectionLost, OperatorNeeded or StatementRefused, by the table.

    `grant` is the hint for a missing right.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _statement_failure(error, grant) from None


def _statement_failure(error: psycopg.Error, grant: str) -> MailroomError:
    text = first_line(error)
    if error.diag.source_file == "rls.c":  # the words are in the language of the server
        return _as_error(failures.ROW_SECURITY, text)
    if error.sqlstate is None:  # the error comes from libpq or psycopg, not from the server
        is_connection = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return _as_error(failures.LOST if is_connection else failures.FAULT, text)
    failure = failures.by_sqlstate(error.sqlstate)
    if failure.hint == failures.GRANT:
        failure = replace(failure, hint=grant)
    return _as_error(failure, f"{error.sqlstate} {text}" if failure.meaning is Meaning.FAULT else text)


def _connect_failure(error: psycopg.Error) -> MailroomError:
    text = first_line(error)
    return _as_error(failures.by_words(text), text)


def _as_error(failure: DatabaseFailure, text: str) -> MailroomError:
    message = f"{failure.words}: {text}" if failure.words else text
    match failure.meaning:
        case Meaning.OPERATOR:
            return OperatorNeeded(message, failure.hint)
        case Meaning.RETRY | Meaning.LATER:
            return Unavailable(message, failure.hint)
        case Meaning.RECONNECT:
            return ConnectionLost(message, failure.hint)
        case Meaning.FAULT:
            return StatementRefused(message, failure.hint)


def first_line(error: psycopg.Error) -> str:
    """Return the first line of what the server or libpq said."""
    text = error.diag.message_primary or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
