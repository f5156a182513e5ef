"""begin and settle: in the database (migrations/5_guards.up.sql), or alone, without one."""

import itertools
import os
import random
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from mailroom_runtime.log import escape
from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted
from mailroom_sender.input.line import token_secret
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.connection import Rows as DatabaseRows
from mailroom_sender.ledger.connection import SharedConnection
from mailroom_sender.log import log
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.schedule.gates import MOST_ATTEMPTS, MOST_REFUSALS, backoff
from mailroom_sender.ses.verdict import Outcome, Verdict

_FRESH: Final = 0.25
"""Part of the lease that may pass until the call is made, which then takes two thirds of it at most."""

STEP: Final = "mailroom.mailroom_begin_rows(mailroom.job_type,text,integer,bytea[],bytea[])"
"""Of the migration that all here needs."""
ACKNOWLEDGE = "SELECT mailroom.mailroom_acknowledge(%s::mailroom.job_type)"
_BEGIN = (
    "SELECT place, token, attempt, code, reason"
    " FROM mailroom.mailroom_begin_rows(%s::mailroom.job_type, %s, %s::integer, %s::bytea[], %s::bytea[])"
)
_SETTLE = (
    "SELECT token, code FROM mailroom.mailroom_settle_rows(%s::mailroom.job_type, %s, %s::bigint[],"
    " %s::mailroom.delivery_outcome[], %s::text[], %s::text[], %s::integer[])"
)
_TELL_AGAIN: Final = 0.05  # seconds until an outcome is told again whose row another transaction has locked
_TOLD_FOR: Final = 0.5
"""Part of the lease for which it is told again and again."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A row that this sender may send, now; `attempt` counts from 1.

    After `call_by` (monotonic seconds) the lease might end before the call does.
    """

    row: Row
    token: int
    attempt: int
    holder: str = ""
    call_by: float = float("inf")


class BeginResult(NamedTuple):
    """What begin came to: what may be sent, in order, and what is to be asked for again in a while."""

    begun: list[Begun]
    locked: list[Row]  # by a transaction that goes on


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a begun row. None as verdict: it was not tried after all."""

    begun: Begun
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Retry:
    """A row that this sender itself must try again, in `delay` seconds."""

    row: Row
    delay: float


class SenderLedger(Protocol):
    """The fence before a call, and the record after it."""

    def new_holder(self) -> str:
        """Return a name for one batch: what it holds, no other batch may begin, of this process neither."""

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:
        """Return which of them may be sent. Raises Stopped."""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], BeginResult]:
        """Begin without waiting; what is returned is to be called, and does what begin() does, as often as it is."""

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Record what became of rows of one holder; return what nobody else will bring again. Raises Stopped."""


def most_attempts(verdict: Verdict) -> int:
    """Return how often a sender without a database tries a row with this verdict; then it keeps it in a file."""
    return MOST_REFUSALS if verdict.outcome is Outcome.REFUSED else MOST_ATTEMPTS


def delay_after(verdict: Verdict, attempt: int) -> float:
    """Return the seconds before a row with this verdict is tried again."""
    return backoff(4 if verdict.outcome is Outcome.HOLD else attempt, random.random())


def not_sent_log() -> RepeatedLog:
    """Return the log of rows that may not be sent; 0 is a token that is not known."""
    return RepeatedLog(
        log,
        "token_not_sent",
        "token",
        lambda token, reason: f"token {token or '?'} is not sent: {reason}",
        lambda more: (
            f"{counted(more.count, 'more token')} not sent, {more.first or '?'} to {more.last or '?'}: {more.kind}"
        ),
    )


class DatabaseLedger:
    """The ledger that the collector claims from."""

    def __init__(
        self, database: SharedConnection, queue: str, lease_ms: int, not_sent: RepeatedLog | None = None
    ) -> None:
        """`not_sent` logs rows that are not sent; who made it sees to it that all of it is told."""
        self._database = database
        self._queue = queue
        self._lease_ms = lease_ms
        self._not_sent = not_sent or not_sent_log()
        self._process = f"send:{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._batches = itertools.count(1)
        self._is_paused = False
        self._lock = threading.Lock()
        self.misses = 0

    def new_holder(self) -> str:
        """Return a name that no other batch has or had.

        A row may come in twice, as when a crash of the server undid its claim: two batches of one
        process must then keep each other out as two processes do.
        """
        return f"{self._process}:{next(self._batches)}"

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:
        """Turn claimed rows into sending ones; log what may not be sent, and why."""
        return self.begin_soon(rows, holder)()

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], BeginResult]:
        """Begin without waiting, as far as the connection is free."""
        fresh = self._lease_ms / 1000 * _FRESH
        keys, emails = [token_secret(row) for row in rows], [row.email.encode() for row in rows]
        parameters = (self._queue, holder, self._lease_ms, keys, emails)
        asked = time.monotonic()
        ask = self._database.ask(_BEGIN, parameters)
        begun: BeginResult | None = None

        def answered() -> BeginResult:
            nonlocal ask, asked, begun
            while begun is None:
                answer_of, ask = ask, lambda: self._database.query(_BEGIN, parameters)
                answer = answer_of()
                # An answer that was long under way (a stopped process, a slow network) says little of
                # now: the lease may be over before the call is. To begin again is allowed.
                took = time.monotonic() - asked
                if took < fresh:
                    begun = self._begun(rows, holder, answer, asked + fresh)
                else:
                    log(f"begin took {took:.1f} s of a lease of {self._lease_ms} ms, and is asked again", "warning")
                    asked = time.monotonic()
            return begun

        return answered

    def _begun(self, rows: Sequence[Row], holder: str, answer: DatabaseRows, call_by: float) -> BeginResult:
        """Return what may be sent; log what may not, and why."""
        begun: list[Begun] = []
        locked: list[Row] = []
        refused: dict[str, list[int]] = {}
        for place, token, attempt, code, reason in answer:
            if code == "begun":
                begun.append(Begun(rows[place - 1], token, attempt, holder, call_by))
                continue
            refused.setdefault(reason, []).append(token or 0)
            if code == "locked":
                locked.append(rows[place - 1])
        for reason, tokens in refused.items():
            self._not_sent(reason, tokens)
        if len(answer) < len(rows):
            log(f"{counted(len(rows) - len(answer), 'row')} not sent: a copy of another in the same call")
        self._note_pause({code for _, _, _, code, _ in answer})
        return BeginResult(begun, locked)

    def _note_pause(self, codes: set[str]) -> None:
        """Say once that the queue is paused, and once that it goes on."""
        with self._lock:
            was_paused, self._is_paused = (
                self._is_paused,
                "paused" in codes or (self._is_paused and not codes & {"begun", "stale", "changed"}),
            )
        if self._is_paused and not was_paused:
            log(
                f"the queue {self._queue} is paused: its rows go back and nothing is sent until"
                " 'mailroom-collect resume'",
                "warning",
            )
        elif was_paused and not self._is_paused:
            log(f"the queue {self._queue} is not paused any more: mails are sent again")

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Record what became of rows; the collector brings those again that are to be tried again."""
        left = {settlement.begun.token: settlement for settlement in settlements}
        give_up_at = time.monotonic() + self._lease_ms / 1000 * _TOLD_FOR
        while left:
            codes: dict[int, str] = dict(self._settle(list(left.values())))
            if missed := [token for token in left if codes.get(token, "missed") == "missed"]:
                self._note_missed(missed, "were no longer held when their outcome was known")
            left = {token: settlement for token, settlement in left.items() if codes.get(token) == "locked"}
            if left and time.monotonic() >= give_up_at:
                self._note_missed(list(left), "were locked by another transaction when their outcome was known")
                break
            if left:
                time.sleep(_TELL_AGAIN)
        return []

    def _settle(self, settlements: Sequence[Settlement]) -> DatabaseRows:
        columns = zip(*(self._told(settlement) for settlement in settlements), strict=True)
        tokens = [settlement.begun.token for settlement in settlements]
        return self._database.query(
            _SETTLE, (self._queue, settlements[0].begun.holder, tokens, *(list(column) for column in columns))
        )

    def _note_missed(self, tokens: Sequence[int], words: str) -> None:
        self.misses += len(tokens)
        log(f"tokens {sorted(tokens)} {words}; {self.misses} such so far", "warning")

    def _told(self, settlement: Settlement) -> tuple[str, str | None, str | None, int]:
        verdict, attempt = settlement.verdict, settlement.begun.attempt
        if verdict is None:
            return "release", None, None, 0
        if verdict.outcome is Outcome.SENT:
            return "sent", verdict.message_id, None, 0
        if verdict.outcome is Outcome.NEVER:
            return "failed", None, escape(verdict.reason), 0
        outcome = "unknown" if verdict.outcome is Outcome.UNKNOWN else "later"
        return outcome, None, escape(verdict.reason), int(1000 * delay_after(verdict, attempt))


class LedgerAlone:
    """What a sender without a database can do alone: try again itself, and keep in files what it can't send."""

    def __init__(self, setaside: OutputFiles) -> None:
        self._setaside = setaside
        self._attempts: Counter[str] = Counter()

    def new_holder(self) -> str:
        """Nobody to hold anything against."""
        return ""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], BeginResult]:
        """Nobody to wait for."""
        begun = self.begin(rows, holder)
        return lambda: begun

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:  # noqa: ARG002
        """Nobody to ask: all of them."""
        self._attempts.update(row.secret for row in rows)
        return BeginResult([Begun(row, 0, self._attempts[row.secret]) for row in rows], [])

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Keep what is not sent: in a file once its tries are used up, until then with the sender."""
        again: list[Retry] = []
        given_up: list[Row] = []
        for settlement in settlements:
            row, attempt, verdict = settlement.begun.row, settlement.begun.attempt, settlement.verdict
            if verdict is not None and verdict.outcome not in (Outcome.SENT, Outcome.NEVER):
                if attempt < most_attempts(verdict):
                    again.append(Retry(row, delay_after(verdict, attempt)))
                    continue
                given_up.append(row)
            elif verdict is None:
                given_up.append(row)
            elif verdict.outcome is not Outcome.SENT:
                self._setaside.reject(row.raw, verdict.reason)
            del self._attempts[row.secret]
        if given_up:
            self._setaside.replay(given_up, "they could not be sent")
        return again
