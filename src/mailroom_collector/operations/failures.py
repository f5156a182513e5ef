"""Reads what was not mailed, and puts it back (migrations/3_operations.up.sql)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg

from mailroom_collector.operations.figures import Choice, Failure, Verdict
from mailroom_collector.operations.session import asked

_AT_ONCE: Final = 500
"""Deliveries that are put back in one transaction: their rows are locked as long as it takes."""


def read_failures(connection: psycopg.Connection[Any], queue: str, choice: Choice, limit: int | None) -> list[Failure]:
    """Return the newest of what was chosen. Raises what asked() makes of a failure."""
    with asked():
        rows = connection.execute(
            "SELECT token, action, account, login, email, state, error, attempts, doubts, queued_at, settled_at, stale"
            " FROM mailroom_not_mailed(%s::job_type, %s::bigint[], %s, %s, %s::timestamptz, %s::timestamptz,"
            " %s::integer)",
            (
                queue,
                None if choice.tokens is None else list(choice.tokens),
                choice.account,
                choice.reason,
                choice.since,
                choice.until,
                limit,
            ),
        ).fetchall()
    return [Failure(*row) for row in rows]


def put_back(
    connection: psycopg.Connection[Any], queue: str, tokens: Sequence[int], *, dry_run: bool
) -> Iterator[Verdict]:
    """Put back what may still be mailed, some at a time. Raises what asked() makes of a failure."""
    for first in range(0, len(tokens), _AT_ONCE):
        with asked():
            rows = connection.execute(
                "SELECT token, refused FROM mailroom_retry(%s::job_type, %s::bigint[], %s)",
                (queue, list(tokens[first : first + _AT_ONCE]), dry_run),
            ).fetchall()
        yield from (Verdict(*row) for row in rows)
