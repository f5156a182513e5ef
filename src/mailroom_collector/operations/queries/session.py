"""A connection that asks, and answers read off one snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, DeadlineConnection, connect, translated
from mailroom_runtime.postgres.schema import check_schema
from mailroom_runtime.postgres.url import DatabaseUrl

PATIENCE: Final = 60.0  # seconds that an answer may take: the figures of a large day are counted, not kept
_STEP: Final = "mailroom.mailroom_queue_status(mailroom.job_type)"  # of the migration that all here needs
_GRANT: Final = "grant it (docs/operations.md, 'The roles')"


def open_session(url: DatabaseUrl | str, queue: str, patience: float = PATIENCE) -> DeadlineConnection:
    """Connect, and see that schema and queue are there. Raises like connect()."""
    connection = connect(url, OPERATOR, patience)
    try:
        check_schema(connection, queue, _STEP)
    except MailroomError:
        connection.close()
        raise
    return connection


@contextmanager
def asked() -> Iterator[None]:
    """Do as translated() does; and name the grants of an operator where one is missing."""
    with translated(_GRANT):
        yield


@contextmanager
def one_snapshot(connection: DeadlineConnection) -> Iterator[None]:
    """Let all statements of the block see the same, and change nothing. Raises what translated() makes of a failure."""
    with asked(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
