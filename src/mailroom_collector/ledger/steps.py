"""The collector's steps in the ledger, one SQL call each (migrations/2_steps, 4_actions, 5_guards, 6_order).

Every step raises what translated() raises.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from mailroom_collector.ledger.connection import ListeningConnection
from mailroom_collector.ledger.scan import Place
from mailroom_collector.sign.action import Action
from mailroom_collector.sign.token import Token
from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection, translated


class DueRows(NamedTuple):
    """The due rows of the queue."""

    waiting: int  # rows that are due now, counted up to a limit
    next_due_ms: int | None
    another_polls_fast: bool
    is_urgent: bool  # one of them is of an urgent action


class QueueState(NamedTuple):
    """The state of the queue that an operator or another collector may change at any time."""

    paused_at: datetime | None = None
    paused_reason: str | None = None
    another_polls_fast: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedRows:
    """The rows of one claim."""

    tokens: list[Token]
    stale: dict[int, str]  # token to the reason why it is not mailed any more
    waiting: list[int]  # tokens whose action is not in mailroom_actions
    doubts: list[int]  # tokens whose last sender never recorded an outcome


class Claim:
    """The answer to one claim. It takes a while to read the rows, so the next claim is sent before that."""

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor
        self.rows = cursor.rowcount
        """The number of deliveries that the claim found. Fewer than asked for: no due row is left behind them."""
        self.last: Place | None = None
        self.acknowledged = False
        if self.rows:
            cursor.scroll(self.rows - 1, mode="absolute")
            token, *_, self.acknowledged, due_at = cursor.fetchone() or ()
            cursor.scroll(0, mode="absolute")
            self.last = Place(due_at, token)

    def read(self) -> ClaimedRows:
        """Return the rows. To be called once."""
        rows = self._cursor.fetchall()
        return ClaimedRows(
            tokens=[Token._make(row[:6]) for row in rows if row[6] is None and row[1] is not None],
            stale={row[0]: row[6] for row in rows if row[6] is not None},
            waiting=[row[0] for row in rows if row[6] is None and row[1] is None],
            doubts=[row[0] for row in rows if row[7]],
        )


def read_actions(connection: DeadlineConnection) -> list[Action]:
    """Return the actions of the database. Raises OperatorNeeded, and what translated() raises."""
    with translated():
        rows = connection.execute(
            "SELECT name, number, prefix, signs_code FROM mailroom.mailroom_list_actions()"
        ).fetchall()
    try:
        return [Action(*row) for row in rows]
    except ValueError as error:
        raise OperatorNeeded(f"mailroom_actions: {error}", "correct the row") from None


def _array(tokens: Sequence[int]) -> str:
    """Return a bigint[] as text. That takes a tenth of the time of psycopg's own conversion of lists."""
    return f"{{{','.join(map(str, tokens))}}}"


@dataclass(frozen=True, slots=True)
class CollectorLedger:
    """The ledger of one queue, as one holder sees it."""

    link: ListeningConnection
    queue: str
    holder: str
    lease_ms: int

    def read_actions(self) -> list[Action]:
        """Return the actions of the database."""
        return read_actions(self.link.connection)

    def count_due(self, most: int) -> DueRows:
        """Count the rows that are due now, up to `most`, and read when the next row becomes due."""
        with translated():
            row = self.link.connection.execute(
                "SELECT waiting, next_due_ms, attended, urgent"
                " FROM mailroom.mailroom_due(%s::mailroom.job_type, %s::integer)",
                (self.queue, most),
            ).fetchone()
        return DueRows(*row) if row else DueRows(0, None, False, False)

    def read_state(self) -> QueueState:
        """Read whether the queue is paused, and whether another session polls fast."""
        with translated():
            row = self.link.connection.execute(
                "SELECT paused_at, paused_reason, attended FROM mailroom.mailroom_watch(%s::mailroom.job_type)",
                (self.queue,),
            ).fetchone()
        return QueueState(*row) if row else QueueState()

    def claim(self, most: int, after: Place | None, meanwhile: Callable[[], None]) -> Claim:
        """Claim up to `most` due rows behind a place, in their order; call `meanwhile` while the server works."""
        with translated(), self.link.connection.meanwhile(meanwhile):
            cursor = self.link.connection.execute(
                "SELECT token, action, email, login, secret, code, stale, doubt, acknowledged, due_at"
                " FROM mailroom.mailroom_claim_any(%s::mailroom.job_type, %s, %s::integer, %s::integer,"
                " %s::timestamptz, %s::bigint)",
                (self.queue, self.holder, self.lease_ms, most, *(after or (None, None))),
                binary=True,
            )
        return Claim(cursor)

    def extend(self, tokens: Sequence[int]) -> set[int]:
        """Extend the leases of these tokens; return the tokens that this process still holds."""
        with translated():
            rows = self.link.connection.execute(
                "SELECT mailroom.mailroom_extend(%s::mailroom.job_type, %s, %s::integer, %s::bigint[])",
                (self.queue, self.holder, self.lease_ms, _array(tokens)),
            ).fetchall()
        return {token for (token,) in rows}

    def held(self, tokens: Sequence[int]) -> set[int]:
        """Return which of these tokens this process still holds: no sender has begun them. It changes nothing."""
        with translated():
            row = self.link.connection.execute(
                # As one text: that takes a tenth of the time of a row for each token.
                "SELECT array_to_string(array("
                "SELECT mailroom.mailroom_held(%s::mailroom.job_type, %s, %s::bigint[])), ',')",
                (self.queue, self.holder, _array(tokens)),
            ).fetchone()
        return set(map(int, row[0].split(","))) if row and row[0] else set()

    def release(self, tokens: Sequence[int]) -> int:
        """Release the tokens that this process still holds; return their number."""
        return self._count("mailroom.mailroom_release", tokens)

    def record_emitted(self, tokens: Sequence[int]) -> int:
        """Record that the reader has read these tokens; return their number. It is 0 if senders acknowledge."""
        return self._count("mailroom.mailroom_emitted", tokens)

    def reject(self, reasons: Mapping[int, str]) -> None:
        """Settle these tokens as failed, each with its reason."""
        with translated():
            self.link.connection.execute(
                "SELECT mailroom.mailroom_set_aside(%s::mailroom.job_type, %s, %s::bigint[], %s::text[])",
                (self.queue, self.holder, list(reasons), list(reasons.values())),
            )

    def start_fast_polling(self) -> bool:
        """Let inserts skip NOTIFY, because this session polls fast. Return whether it may: one session at a time."""
        return self._is_true("mailroom.mailroom_attend", argument=False)

    def notify_others(self) -> None:
        """Notify the other listening sessions of the inserts that skipped NOTIFY."""
        self._is_true("mailroom.mailroom_attend", argument=True)

    def stop_fast_polling(self, *, is_polling: bool) -> bool:
        """Let inserts NOTIFY again; return whether all inserts that skipped NOTIFY have ended."""
        return self._is_true("mailroom.mailroom_leave", argument=is_polling)

    def _is_true(self, step: str, *, argument: bool) -> bool:
        with translated():
            row = self.link.connection.execute(f"SELECT {step}(%s)", (argument,)).fetchone()
        return bool(row and row[0])

    def _count(self, step: str, tokens: Sequence[int]) -> int:
        with translated():
            row = self.link.connection.execute(
                f"SELECT {step}(%s::mailroom.job_type, %s, %s::bigint[])", (self.queue, self.holder, _array(tokens))
            ).fetchone()
        return int(row[0]) if row else 0
