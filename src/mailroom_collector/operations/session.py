"""A connection that asks, and answers read off one snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors

from mailroom_collector.database import Impatient, check_schema, connect, translated
from mailroom_runtime.errors import UNREACHABLE, ConnectionLost, MailroomError, OperatorNeeded

PATIENCE: Final = 60.0  # seconds that an answer may take: the figures of a large day are counted, not kept
_STEP: Final = "mailroom_unsettled(job_type)"  # of the migration that all here needs


_NAME: Final = "mailroom-operator"
"""The application_name of who asks: no collector, and so not counted as one."""


def named(url: str) -> str:
    """Return the URL of a session that is counted as no collector's."""
    return url if "application_name" in conninfo.conninfo_to_dict(url) else conninfo.make_conninfo(
        url, application_name=_NAME
    )  # fmt: skip


def open_session(url: str, queue: str, patience: float = PATIENCE) -> Impatient:
    """Connect, and see that schema and queue are there. Raises like connect()."""
    try:
        connection = connect(named(url), patience)
    except ConnectionLost as error:
        raise ConnectionLost(str(error), UNREACHABLE) from None
    try:
        with asked():
            check_schema(connection, queue, _STEP)
    except MailroomError:
        connection.close()
        raise
    return connection


@contextmanager
def asked() -> Iterator[None]:
    """Do as translated() does; and name the grants of an operator where one is missing."""
    with translated():
        try:
            yield
        except errors.InsufficientPrivilege as error:
            raise OperatorNeeded(
                f"the database role may not do this: {error.diag.message_primary or error}",
                "grant it (docs/operations.md, 'The roles')",
            ) from None


@contextmanager
def one_snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let all statements of the block see the same, and change nothing. Raises what translated() makes of a failure."""
    with asked(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
