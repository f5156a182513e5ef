"""Begins and settles rows in the database (migrations/5_guards.up.sql and 6_order.up.sql)."""

import itertools
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mailroom_runtime.log import escape
from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted
from mailroom_sender.input.line import token_secret
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.not_sent_log import UNKNOWN_TOKEN
from mailroom_sender.ledger.pause_log import PauseLog
from mailroom_sender.ledger.pending_begin import PendingBegin
from mailroom_sender.ledger.protocol import Retry, Settlement
from mailroom_sender.ledger.shared_connection import Rows as DatabaseRows
from mailroom_sender.ledger.shared_connection import SharedConnection
from mailroom_sender.log import log
from mailroom_sender.schedule.retries import delay_after
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.verdict import Outcome

STEP: Final = "mailroom.mailroom_share_rate(text,text)"
"""A function that shows that the schema has the migration that this module needs."""
_SENDERS: Final = "SELECT mailroom.mailroom_share_rate(%s, %s)"
ACKNOWLEDGE: Final = "SELECT mailroom.mailroom_acknowledge(%s::mailroom.job_type)"
"""Records that a sender acknowledges. Returns how many rows that were printed before are tracked now."""
_BEGIN: Final = (
    "SELECT place, token, attempt, code, reason"
    " FROM mailroom.mailroom_begin_rows(%s::mailroom.job_type, %s, %s::integer, %s::bytea[], %s::bytea[])"
)
_SETTLE: Final = (
    "SELECT token, code FROM mailroom.mailroom_settle_rows(%s::mailroom.job_type, %s, %s::bigint[],"
    " %s::mailroom.delivery_outcome[], %s::text[], %s::text[], %s::integer[])"
)
_GIVE_BACK: Final = "SELECT mailroom.mailroom_give_back(%s::mailroom.job_type, %s::bytea[], %s::text, %s::integer[])"
_SETTLE_AGAIN: Final = 0.05  # seconds until it tries again to record an outcome whose row is locked
_SETTLE_FOR: Final = 0.5
"""The part of the lease during which it tries that."""
_UNRECORDED: Final = {
    "missed": "this sender did not hold them any more",
    "locked": "another transaction had locked them",
}


class DatabaseLedger:
    """The ledger in the database. Callable from any thread."""

    gives_back = True

    def __init__(
        self,
        database: SharedConnection,
        queue: str,
        lease_ms: int,
        not_sent: RepeatedLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`not_sent` logs rows that may not be sent. Its owner calls log_counts()."""
        self._database = database
        self._queue = queue
        self._lease_ms = lease_ms
        self._not_sent = not_sent
        self._clock = clock
        self._process = f"send:{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._batches = itertools.count(1)
        self._pause = PauseLog(queue)
        self.unrecorded = 0
        """Outcomes that could not be recorded, since the start."""

    def new_holder(self) -> str:
        """Return a name that no other batch has ever had.

        A row may be read twice, for example after a crash of the server has undone its claim. Then two batches of one
        process must exclude each other, as two processes do.
        """
        return f"{self._process}:{next(self._batches)}"

    def count_senders(self, account: str) -> int:
        """Note that this sender has mails to send. Return how many senders of the account have. Raises MailroomError.

        It asks once, because begin and settle are more urgent.
        """
        return int(self._database.query_once(_SENDERS, (self._process, account))[0][0])

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:
        """Begin claimed rows. Log which of them may not be sent, and why."""
        return self.begin_soon(rows, holder).wait()

    def begin_soon(self, rows: Sequence[Row], holder: str) -> CallPermission:
        """Send the begin without waiting for its answer, if the connection is free."""
        keys, emails = [token_secret(row) for row in rows], [row.email.encode() for row in rows]
        parameters = (self._queue, holder, self._lease_ms, keys, emails)
        ask = partial(self._database.query_soon, _BEGIN, parameters)
        pending = PendingBegin(ask, partial(self._begun, rows, holder), self._lease_ms / 1000, self._clock)
        return CallPermission(pending.result)

    def _begun(self, rows: Sequence[Row], holder: str, answer: DatabaseRows, call_by: float) -> BeginResult:
        """Return which rows may be sent. Log which may not, and why."""
        begun: list[Begun] = []
        locked: list[Row] = []
        refused: dict[str, list[int]] = {}
        for place, token, attempt, code, reason in answer:
            if code == "begun":
                begun.append(Begun(rows[place - 1], token, attempt, holder, call_by))
                continue
            refused.setdefault(reason, []).append(token or UNKNOWN_TOKEN)
            if code == "locked":
                locked.append(rows[place - 1])
        for reason, tokens in refused.items():
            self._not_sent(reason, tokens)
        self._note_copies(len(rows) - len(answer))
        self._pause.note({code for _, _, _, code, _ in answer})
        return BeginResult(begun, locked)

    def _note_copies(self, count: int) -> None:
        if count:
            log(
                f"{counted(count, 'row')} not sent: each is a copy of another row of the same call",
                event="copies_not_sent",
                count=count,
            )

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Record outcomes. Return an empty list: the collector prints the rows again that must be tried again."""
        left = {settlement.begun.token: settlement for settlement in settlements}
        give_up_at = self._clock() + self._lease_ms / 1000 * _SETTLE_FOR
        while left:
            codes: dict[int, str] = dict(self._settle(list(left.values())))
            self._note_unrecorded("missed", [token for token in left if codes.get(token, "missed") == "missed"])
            left = {token: settlement for token, settlement in left.items() if codes.get(token) == "locked"}
            if left and self._clock() >= give_up_at:
                self._note_unrecorded("locked", list(left))
                break
            if left:
                time.sleep(_SETTLE_AGAIN)
        return []

    def _settle(self, settlements: Sequence[Settlement]) -> DatabaseRows:
        columns = zip(*(_recorded(settlement) for settlement in settlements), strict=True)
        tokens = [settlement.begun.token for settlement in settlements]
        return self._database.query(
            _SETTLE, (self._queue, settlements[0].begun.holder, tokens, *(list(column) for column in columns))
        )

    def give_back(
        self, rows: Sequence[Row], reason: str | None = None, delays: Sequence[float] | None = None
    ) -> list[Row]:
        """Put rows back that were not begun. Return those that are locked now. Raises Stopped."""
        keys = [token_secret(row) for row in rows]
        delays_ms = None if delays is None else [int(1000 * delay) for delay in delays]
        answer = self._database.query(_GIVE_BACK, (self._queue, keys, reason and escape(reason), delays_ms))
        return [rows[place - 1] for (place,) in answer]

    def _note_unrecorded(self, code: str, tokens: Sequence[int]) -> None:
        if not tokens:
            return
        self.unrecorded += len(tokens)
        log(
            f"the outcome of the tokens {sorted(tokens)} was not recorded: {_UNRECORDED[code]};"
            f" {self.unrecorded} since the start",
            "warning",
            event="outcome_not_recorded",
            reason=code,
            tokens=sorted(tokens),
            since_start=self.unrecorded,
        )


def _recorded(settlement: Settlement) -> tuple[str, str | None, str | None, int]:
    """Return what the ledger records for a row: outcome, message id, error, and milliseconds until it is due again."""
    verdict, attempt = settlement.verdict, settlement.begun.attempt
    if verdict is None:
        return "release", None, None, 0
    if verdict.outcome is Outcome.SENT:
        return "sent", verdict.message_id, None, 0
    if verdict.outcome is Outcome.NEVER:
        return "failed", None, escape(verdict.reason), 0
    outcome = "unknown" if verdict.outcome is Outcome.UNKNOWN else "later"
    delay = settlement.given_back_for
    if delay is None:
        delay = delay_after(verdict, attempt, random.random())
    return outcome, None, escape(verdict.reason), int(1000 * delay)
