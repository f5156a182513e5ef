"""A connection that asks, and answers read off one snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from mailroom_collector.database import Impatient, check_schema, connect, translated
from mailroom_collector.errors import MailroomError

PATIENCE: Final = 60.0  # seconds that an answer may take: the figures of a large day are counted, not kept
_STEP: Final = "mailroom_unsettled(job_type)"  # of the migration that all here needs


def open_session(url: str, queue: str, patience: float = PATIENCE) -> Impatient:
    """Connect, and see that schema and queue are there. Raises like connect()."""
    connection = connect(url, patience)
    try:
        with translated():
            check_schema(connection, queue, _STEP)
    except MailroomError:
        connection.close()
        raise
    return connection


@contextmanager
def one_snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let all statements of the block see the same, and change nothing. Raises what translated() makes of a failure."""
    with translated(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
