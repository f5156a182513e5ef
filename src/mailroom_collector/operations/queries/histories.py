"""Reads what became of an account's tokens, of a token, or of a mail (mailroom_show)."""

from enum import Enum
from itertools import groupby
from typing import Final

from mailroom_collector.operations.figures import AccountHistory, QueuePause, TokenHistory
from mailroom_collector.operations.queries.session import translated_for_operator
from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection

_QUERY: Final = (
    "SELECT account, login, email, status, tokens, token, action, listed, created_at, expires_at, consumed_at, stale,"
    " state, queued_at, due_at, is_due, holder, attempts, doubts, error, message_id, settled_at, ahead, wait_s,"
    " is_late, rate FROM mailroom.mailroom_show(%s::mailroom.job_type, %s, %s, %s::integer)"
)
_OF_ACCOUNT: Final = 5  # columns


class Subject(Enum):
    """What a text names."""

    TOKEN = "token"  # noqa: S105 - no password
    ACCOUNT = "account"
    MESSAGE = "message"


def read_histories(
    connection: DeadlineConnection, queue: str, subject: Subject, whose: str, limit: int
) -> list[AccountHistory]:
    """Return the accounts with the newest `limit` tokens of each. Raises what translated_for_operator() raises.

    Of a token or a message, return its account with this token only.
    """
    with translated_for_operator():
        rows = connection.execute(_QUERY, (queue, subject.value, whose, limit)).fetchall()
    histories = []
    for (account, login, email, status, count), its in groupby(rows, key=lambda row: row[:_OF_ACCOUNT]):
        tokens = [TokenHistory(*row[_OF_ACCOUNT:]) for row in its if row[_OF_ACCOUNT] is not None]
        histories.append(AccountHistory(account, login, email, status, count, tokens))
    return histories


def read_pause(connection: DeadlineConnection, queue: str) -> QueuePause:
    """Return whether the queue is paused. Raises OperatorNeeded, and what translated_for_operator() raises."""
    with translated_for_operator():
        row = connection.execute(
            "SELECT at, paused_at, paused_reason FROM mailroom.mailroom_queue_status(%s::mailroom.job_type)", (queue,)
        ).fetchone()
    if row is None:
        raise OperatorNeeded(f'the queue "{queue}" has no row in jobs', "insert one, with this name as its job_type")
    return QueuePause(*row)
