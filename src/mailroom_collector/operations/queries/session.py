"""A connection for a command, and queries of one snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, DeadlineConnection, connect, translated
from mailroom_runtime.postgres.schema import check_schema
from mailroom_runtime.postgres.url import DatabaseUrl

TIMEOUT: Final = 60.0  # seconds for an answer: a query may count the deliveries of a day
_STEP: Final = "mailroom.mailroom_outlook(mailroom.job_type,float8)"  # a function of the migration that is needed
_GRANT: Final = "grant it (docs/operations.md, 'The roles')"


def open_session(url: DatabaseUrl | str, queue: str, timeout: float = TIMEOUT) -> DeadlineConnection:
    """Connect, and check that schema and queue exist. Raises what connect() and check_schema() raise."""
    connection = connect(url, OPERATOR, timeout)
    try:
        check_schema(connection, queue, _STEP)
    except MailroomError:
        connection.close()
        raise
    return connection


@contextmanager
def translated_for_operator() -> Iterator[None]:
    """Translate errors like translated(). The hint for a missing right names the operator's grants."""
    with translated(_GRANT):
        yield


@contextmanager
def one_snapshot(connection: DeadlineConnection) -> Iterator[None]:
    """Let all statements of the block see the same data, and change nothing. Raises what translated() raises."""
    with translated_for_operator(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
