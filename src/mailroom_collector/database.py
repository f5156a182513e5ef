"""A connection that listens; and what a failure means: try again, or an operator must act."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors, sql

from mailroom_collector.errors import ConnectionLost, MailroomError, OperatorNeeded

_DEFAULTS: Final = {
    "application_name": "mailroom-collect",
    "client_encoding": "utf-8",
    "connect_timeout": 5,  # seconds
    # A peer that vanished is noticed within half a minute (libpq, 34.1.2).
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}

_MIGRATE = "run 'mailroom-collect migrate' with a role that owns the database"

_CONNECT_FAILURES: Final = (
    # libpq hands over no SQLSTATE for a connection that failed, only the server's words.
    (r"password authentication failed|no password supplied", "correct the password in MAILROOM_DATABASE_URL"),
    (r'database ".*" does not exist', "create it, or correct MAILROOM_DATABASE_URL"),
    (r'role ".*" does not exist', "create it, or correct MAILROOM_DATABASE_URL"),
    (r"no pg_hba.conf entry|is not permitted to log in|authentication failed", "let this role in, in pg_hba.conf"),
    (r"permission denied for database", "grant CONNECT to this role"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection that listens on the channel."""

    connection: psycopg.Connection[Any]

    def fileno(self) -> int:
        """Return the socket to poll."""
        return self.connection.fileno()

    def notified(self) -> bool:
        """Take what notifications there are; say whether there were any. Raises ConnectionLost."""
        with translated():
            # Also those that came in during a statement: the socket stays quiet about them.
            return len(list(self.connection.notifies(timeout=0))) > 0

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


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection in autocommit. Raises ConnectionLost, or OperatorNeeded with what to do."""
    given = conninfo.conninfo_to_dict(url)
    options: dict[str, Any] = {name: value for name, value in _DEFAULTS.items() if name not in given}
    try:
        # Without prepared statements, which a pooler in transaction mode would mix up.
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, **options)
    except psycopg.Error as error:
        raise _connect_failure(error) from None


def _connect_failure(error: psycopg.Error) -> MailroomError:
    text = _first_line(error)
    for pattern, hint in _CONNECT_FAILURES:
        if re.search(pattern, text):
            return OperatorNeeded(text, hint)
    return ConnectionLost(text)


def listen(url: str, channel: str, queue: str, *, on_notice: Callable[[str], None]) -> Link:
    """Connect, see that schema and queue are there, and LISTEN. Raises like connect()."""
    connection = connect(url)
    try:
        connection.add_notice_handler(lambda notice: on_notice(notice.message_primary or ""))
        with translated():
            _check_schema(connection, queue)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    except MailroomError:
        connection.close()
        raise
    return Link(connection)


def _check_schema(connection: psycopg.Connection[Any], queue: str) -> None:
    row = connection.execute(
        "SELECT to_regclass('tokens') IS NOT NULL,"
        " to_regprocedure('mailroom_claim(job_type,text,integer,integer)') IS NOT NULL"
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
