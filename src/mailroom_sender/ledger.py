"""begin and settle: in the database (migrations/2_steps.up.sql), or alone, without one."""

import itertools
import os
import random
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from mailroom_runtime.log import escape
from mailroom_runtime.words import counted
from mailroom_sender.database import Database
from mailroom_sender.database import Rows as DatabaseRows
from mailroom_sender.log import log
from mailroom_sender.retries import MOST_ATTEMPTS, MOST_REFUSALS, backoff
from mailroom_sender.rows import Row
from mailroom_sender.setaside import SetAside
from mailroom_sender.verdicts import Outcome, Verdict
from mailroom_sender.wire import token_secret

_FRESH: Final = 0.25
"""Part of the lease that may pass until the call is made, which then takes two thirds of it at most."""

STEP: Final = "mailroom_list_actions()"
"""Of the migration that all here needs."""
ACKNOWLEDGE = "SELECT mailroom_acknowledge(%s::job_type)"
_LOCKED: Final = "locked by another transaction"  # in mailroom_begin's words
_BEGIN = "SELECT place, token, attempt, refused FROM mailroom_begin(%s::job_type, %s, %s::integer, %s::bytea[])"


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


class Answer(NamedTuple):
    """What begin came to: what may be sent, in order, and what is to be asked for again in a while."""

    begun: list[Begun]
    locked: list[Row]  # by a transaction that goes on


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a begun row. None as verdict: it was not tried after all."""

    begun: Begun
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Again:
    """A row that this sender itself must try again, in `delay` seconds."""

    row: Row
    delay: float


class Ledger(Protocol):
    """The fence before a call, and the record after it."""

    def new_holder(self) -> str:
        """Return a name for one batch: what it holds, no other batch may begin, of this process neither."""

    def begin(self, rows: Sequence[Row], holder: str) -> Answer:
        """Return which of them may be sent. Raises Stopped."""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], Answer]:
        """Begin without waiting; what is returned is to be called, and does what begin() does, as often as it is."""

    def settle(self, settlements: Sequence[Settlement]) -> list[Again]:
        """Record what became of rows of one holder; return what nobody else will bring again. Raises Stopped."""


def most_attempts(verdict: Verdict) -> int:
    """Return how often a sender without a database tries a row with this verdict; then it keeps it in a file."""
    return MOST_REFUSALS if verdict.outcome is Outcome.REFUSED else MOST_ATTEMPTS


def delay_after(verdict: Verdict, attempt: int) -> float:
    """Return the seconds before a row with this verdict is tried again."""
    return backoff(4 if verdict.outcome is Outcome.HOLD else attempt, random.random())


class DatabaseLedger:
    """The ledger that the collector claims from."""

    def __init__(self, database: Database, queue: str, lease_ms: int) -> None:
        self._database = database
        self._queue = queue
        self._lease_ms = lease_ms
        self._process = f"send:{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._batches = itertools.count(1)
        self.misses = 0

    def new_holder(self) -> str:
        """Return a name that no other batch has or had.

        A row may come in twice, as when a crash of the server undid its claim: two batches of one
        process must then keep each other out as two processes do.
        """
        return f"{self._process}:{next(self._batches)}"

    def begin(self, rows: Sequence[Row], holder: str) -> Answer:
        """Turn claimed rows into sending ones; log what may not be sent, and why."""
        return self.begin_soon(rows, holder)()

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], Answer]:
        """Begin without waiting, as far as the connection is free."""
        fresh = self._lease_ms / 1000 * _FRESH
        parameters = (self._queue, holder, self._lease_ms, [token_secret(row) for row in rows])
        asked = time.monotonic()
        ask = self._database.ask(_BEGIN, parameters)
        begun: Answer | None = None

        def answered() -> Answer:
            nonlocal ask, asked, begun
            while begun is None:
                answer_of, ask = ask, lambda: self._database.query(_BEGIN, parameters)
                answer = answer_of()
                # An answer that was long under way (a stopped process, a slow network) says little of
                # now: the lease may be over before the call is. To begin again is allowed.
                took = time.monotonic() - asked
                if took < fresh:
                    begun = _begun(rows, holder, answer, asked + fresh)
                else:
                    log(f"begin took {took:.1f} s of a lease of {self._lease_ms} ms, and is asked again", "warning")
                    asked = time.monotonic()
            return begun

        return answered

    def settle(self, settlements: Sequence[Settlement]) -> list[Again]:
        """Record what became of rows; the collector brings those again that are to be tried again."""
        if not settlements:
            return []
        tokens = [s.begun.token for s in settlements]
        told = [self._told(s) for s in settlements]
        settled = self._database.query(
            "SELECT mailroom_settle(%s::job_type, %s, %s::bigint[], %s::delivery_outcome[], %s::text[], %s::text[],"
            " %s::integer[])",
            (self._queue, settlements[0].begun.holder, tokens, *(list(column) for column in zip(*told, strict=True))),
        )
        missed = set(tokens) - {token for (token,) in settled}
        if missed:
            self.misses += len(missed)
            log(
                f"tokens {sorted(missed)} were no longer held when their outcome was known; {self.misses} such so far",
                "warning",
            )
        return []

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


def _begun(rows: Sequence[Row], holder: str, answer: DatabaseRows, call_by: float) -> Answer:
    """Return what may be sent; log what may not, and why."""
    begun: list[Begun] = []
    locked: list[Row] = []
    for place, token, attempt, refused in answer:
        if refused is None:
            begun.append(Begun(rows[place - 1], token, attempt, holder, call_by))
        else:
            log(f"token {token or '?'} is not sent: {refused}")
            if refused == _LOCKED:
                locked.append(rows[place - 1])
    if len(answer) < len(rows):
        log(f"{counted(len(rows) - len(answer), 'row')} not sent: a copy of another in the same call")
    return Answer(begun, locked)


class NoLedger:
    """What a sender without a database can do alone: try again itself, and keep in files what it can't send."""

    def __init__(self, setaside: SetAside) -> None:
        self._setaside = setaside
        self._attempts: Counter[str] = Counter()

    def new_holder(self) -> str:
        """Nobody to hold anything against."""
        return ""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], Answer]:
        """Nobody to wait for."""
        begun = self.begin(rows, holder)
        return lambda: begun

    def begin(self, rows: Sequence[Row], holder: str) -> Answer:  # noqa: ARG002
        """Nobody to ask: all of them."""
        self._attempts.update(row.secret for row in rows)
        return Answer([Begun(row, 0, self._attempts[row.secret]) for row in rows], [])

    def settle(self, settlements: Sequence[Settlement]) -> list[Again]:
        """Keep what is not sent: in a file once its tries are used up, until then with the sender."""
        again: list[Again] = []
        given_up: list[Row] = []
        for settlement in settlements:
            row, attempt, verdict = settlement.begun.row, settlement.begun.attempt, settlement.verdict
            if verdict is not None and verdict.outcome not in (Outcome.SENT, Outcome.NEVER):
                if attempt < most_attempts(verdict):
                    again.append(Again(row, delay_after(verdict, attempt)))
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
