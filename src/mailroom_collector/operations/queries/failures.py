"""Reads what was not mailed, and puts it back (mailroom_not_mailed, mailroom_retry_rows)."""

from collections.abc import Iterator, Sequence
from typing import Final

from mailroom_collector.operations.figures import Choice, RetryResult, UnsentDelivery
from mailroom_collector.operations.queries.session import translated_for_operator
from mailroom_runtime.postgres.connection import DeadlineConnection

_AT_ONCE: Final = 500
"""The largest number of deliveries that one transaction puts back. It locks their rows until it ends."""


def read_failures(
    connection: DeadlineConnection, queue: str, choice: Choice, limit: int | None
) -> list[UnsentDelivery]:
    """Return the newest `limit` deliveries of the choice. Raises what translated_for_operator() raises."""
    with translated_for_operator():
        rows = connection.execute(
            "SELECT token, action, account, login, email, state, error, attempts, doubts, queued_at, settled_at, stale"
            " FROM mailroom.mailroom_not_mailed(%s::mailroom.job_type, %s::bigint[], %s, %s, %s::timestamptz,"
            " %s::timestamptz, %s::integer)",
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
    return [UnsentDelivery(*row) for row in rows]


def put_back(
    connection: DeadlineConnection, queue: str, tokens: Sequence[int], *, dry_run: bool
) -> Iterator[RetryResult]:
    """Put back the tokens that may still be mailed, some at a time. Raises what translated_for_operator() raises."""
    for first in range(0, len(tokens), _AT_ONCE):
        with translated_for_operator():
            rows = connection.execute(
                "SELECT token, reason, code FROM mailroom.mailroom_retry_rows(%s::mailroom.job_type, %s::bigint[], %s)",
                (queue, list(tokens[first : first + _AT_ONCE]), dry_run),
            ).fetchall()
        yield from (RetryResult(*row) for row in rows)
