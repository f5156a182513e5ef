"""One batch: begin, call, verdicts, settle, report. Runs in a worker's thread."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from mailroom_runtime.words import counted
from mailroom_sender.actions import Action
from mailroom_sender.addresses import UnfitAddress, for_ses
from mailroom_sender.errors import Stopped
from mailroom_sender.ledger import Again, Begun, Ledger, Settlement
from mailroom_sender.ledger import Answer as Beginning
from mailroom_sender.log import log
from mailroom_sender.mail_text import mail_text
from mailroom_sender.report import Report
from mailroom_sender.request import Envelope, build
from mailroom_sender.rows import Row
from mailroom_sender.ses import RawResponse, Sent, Ses
from mailroom_sender.setaside import SetAside
from mailroom_sender.verdicts import SUCCESS, Accepted, Answer, NotAsked, Outcome, Refused, Verdict, judge

_NOT_SENT: Final = (NotAsked("the call was not made"), None)
_SIGNATURE_FRESH: Final = 30.0
"""Seconds that a signed request may wait for the ledger: SES refuses it after five minutes (Signature Version 4)."""
_LOCKED_FOR: Final = 2.0  # seconds until a row is asked for again that somebody has locked
_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{6,85}", re.ASCII)  # too short for a secret field


@dataclass(slots=True)
class Result:
    """What a batch taught: its rows' verdicts, and which of them this sender tries again."""

    action: Action
    verdicts: list[Verdict] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)
    unfit: int = 0  # rows whose address SES can never take
    took: list[float] = field(default_factory=list)  # seconds from each call to its answer


class Deliver(Protocol):
    """What a worker does with a batch of one action."""

    def start(self, batch: Sequence[Row]) -> Callable[[], Result]:
        """Set out, without waiting; return what deals with every row of the batch, in a worker. Neither raises."""

    def give_back(self, rows: Sequence[Row]) -> None:
        """Hand back rows that will not be tried now."""


class SesDelivery:
    """Sends batches through SES, fenced and recorded by the ledger."""

    def __init__(self, ledger: Ledger, ses: Ses, envelope: Envelope, setaside: SetAside, report: Report) -> None:
        self._ledger = ledger
        self._ses = ses
        self._envelope = envelope
        self._setaside = setaside
        self._report = report

    def start(self, batch: Sequence[Row]) -> Callable[[], Result]:
        """Begin a batch, so that the ledger is at it while a worker wakes and builds the call."""
        rows, holder = list(batch), self._ledger.new_holder()
        return partial(self._deliver, rows, holder, self._ledger.begin_soon(rows, holder))

    def _deliver(self, batch: list[Row], holder: str, answered: Callable[[], Beginning]) -> Result:
        """Send a batch; a call that SES refuses for perhaps one row's fault is split until it is alone."""
        result = Result(batch[0].action)
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                verdicts = self._part(part, answered, result)
            except Stopped:
                left = counted(len(part), "row")
                log(f"{left} of a call left to the lease: the database did not answer before the end", "warning")
                break
            if verdicts and verdicts[0].outcome is Outcome.SPLIT:
                middle = (len(part) + 1) // 2
                parts += [part[middle:], part[:middle]]
            if parts:
                # Again for each part: what is stale by now must not go, and the lease is renewed.
                answered = self._ledger.begin_soon(parts[-1], holder)
        return result

    def _part(self, rows: list[Row], answered: Callable[[], Beginning], result: Result) -> list[Verdict]:
        try:
            sent = self._send_early(rows, answered, result)
        finally:
            asked, locked = answered()
        begun, unfit = _sort_out(asked)
        result.again += [Again(row, _LOCKED_FOR) for row in locked]
        result.unfit += len(unfit)
        if not begun:
            result.again += self._ledger.settle(unfit)
            return []
        if sent is None:
            sent = self._send([b.row for b in begun], lambda: _call_by(begun), result) or _NOT_SENT
        answer, verdicts = self._judge(begun, *sent)
        settlements = unfit
        if verdicts[0].outcome is not Outcome.SPLIT:
            settlements = unfit + [Settlement(b, v) for b, v in zip(begun, verdicts, strict=True)]
        result.verdicts += verdicts
        result.again += self._ledger.settle(settlements)
        # Last, as a stdout that nobody empties may hold it up for longer than a lease.
        self._report.line(_told(answer, [b.row for b in begun], verdicts))
        return verdicts

    def _send(self, rows: list[Row], call_by: Callable[[], float | None], result: Result) -> Sent | None:
        """Make a call, and note how long SES took to answer it."""
        asked: list[float] = []

        def timed() -> float | None:
            until = call_by()
            asked.append(time.monotonic())
            return until

        sent = self._ses.send(build(rows, self._envelope), timed)
        if sent is not None and isinstance(sent[0], (Accepted, Refused)):
            result.took += [time.monotonic() - asked[-1]]
        return sent

    def _send_early(self, rows: list[Row], answered: Callable[[], Beginning], result: Result) -> Sent | None:
        """Build and sign a call for all rows while the ledger is at them; its answer is all that is waited for then.

        None: not all of them may be sent, or not with that signature, and nothing went out.
        """
        if not all(_is_fit(row) for row in rows):
            return None
        signed = time.monotonic()

        def call_by() -> float | None:
            begun = answered().begun
            is_fresh = time.monotonic() < signed + _SIGNATURE_FRESH
            return _call_by(begun) if is_fresh and len(begun) == len(rows) else None

        return self._send(rows, call_by, result)

    def _judge(self, begun: list[Begun], answer: Answer, raw: RawResponse | None) -> tuple[Answer, list[Verdict]]:
        rows = [b.row for b in begun]
        if raw is not None:
            self._setaside.response(rows[0].action, _masked(raw.to_bytes(), rows))
        answer = _without_secrets(answer, rows)
        verdicts = judge(answer, len(rows))
        doubtful = [b.token for b, v in zip(begun, verdicts, strict=True) if v.outcome is Outcome.UNKNOWN]
        if doubtful:
            many = counted(len(doubtful), "row")
            log(f"{many} perhaps mailed twice: {verdicts[0].reason}; tokens {doubtful}", "warning")
        elif verdicts[0].outcome is not Outcome.SENT:
            log(f"a call for {counted(len(rows), 'row')} of {rows[0].action.name}: {verdicts[0].reason}", "warning")
        return answer, verdicts

    def give_back(self, rows: Sequence[Row]) -> None:
        """Return rows to the ledger, due at once; without one, to a replay file."""
        if not rows:
            return
        try:
            begun = self._ledger.begin(rows, self._ledger.new_holder()).begun
            self._ledger.settle([Settlement(one, None) for one in begun])
        except Stopped:
            log(f"{counted(len(rows), 'row')} left to the lease: the database did not answer before the end", "warning")


class Preview:
    """Debug mode: prints each request as it would be made, or its mails for a person, and sends nothing."""

    def __init__(self, envelope: Envelope, setaside: SetAside, report: Report, *, as_text: bool) -> None:
        """`as_text`: print mails for a person."""
        self._as_text = as_text
        self._envelope = envelope
        self._setaside = setaside
        self._report = report

    def start(self, batch: Sequence[Row]) -> Callable[[], Result]:
        """Print the batch's request, in a worker."""
        return partial(self._print, batch)

    def _print(self, batch: Sequence[Row]) -> Result:
        begun, unfit = _sort_out([Begun(row, 0, 1) for row in batch])
        for settlement in unfit:
            self._setaside.reject(settlement.begun.row.raw, settlement.verdict.reason if settlement.verdict else "")
        if self._as_text:
            for one in begun:
                self._report.text(mail_text(one.row, self._envelope.base_url))
        elif begun:
            self._report.line(build([b.row for b in begun], self._envelope))
        return Result(batch[0].action)

    def give_back(self, rows: Sequence[Row]) -> None:
        """Nothing was to be sent."""


def _call_by(begun: Sequence[Begun]) -> float:
    return min(b.call_by for b in begun)


def _is_fit(row: Row) -> bool:
    try:
        for_ses(row.email)
    except UnfitAddress:
        return False
    return True


def _sort_out(begun: Sequence[Begun]) -> tuple[list[Begun], list[Settlement]]:
    """Part rows that SES can take from those whose address it never will."""
    fit: list[Begun] = []
    unfit: list[Settlement] = []
    for one in begun:
        try:
            for_ses(one.row.email)
        except UnfitAddress as reason:
            log(f"token {one.token} is not sent: {reason}", "warning")
            unfit.append(Settlement(one, Verdict(Outcome.NEVER, str(reason))))
        else:
            fit.append(one)
    return fit, unfit


def _masked(response: bytes, rows: Sequence[Row]) -> bytes:
    """Put stars over what lets somebody in, as many as it had characters: it stays the same HTTP message."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            response = response.replace(secret.encode(), b"*" * len(secret))
    return response


def _without_secrets(answer: Answer, rows: Sequence[Row]) -> Answer:
    """SES's words may repeat what it was sent; neither log nor ledger may."""

    def clean(name: str, text: str) -> str:
        if _is_ses_own(name, text):
            return text
        for row in rows:
            for secret in filter(None, (row.secret, row.code)):
                text = text.replace(secret, "...")
        return text

    if isinstance(answer, Refused):
        return replace(answer, message=clean("Message", answer.message))
    if isinstance(answer, Accepted) and answer.statuses is not None:
        return Accepted([{name: clean(name, str(value)) for name, value in one.items()} for one in answer.statuses])
    return answer


def _is_ses_own(name: str, value: str) -> bool:
    """Say whether a value is none of ours: five digits in a message id are no code, and must stay what they are."""
    return (name == "Status" and value == SUCCESS) or (name == "MessageId" and bool(_MESSAGE_ID.fullmatch(value)))


def _told(answer: Answer, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the answer to one call as it is printed."""
    told: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "template": rows[0].action.template,
    }
    statuses: Sequence[dict[str, Any]] = []
    if isinstance(answer, Accepted):
        statuses = answer.statuses or []
    if isinstance(answer, Refused):
        told["http_status"] = answer.http_status
    if len(statuses) != len(rows):
        told["error"] = verdicts[0].reason
        statuses = [{}] * len(rows)
    told["destinations"] = [
        {
            "email": row.email,
            "outcome": verdict.outcome.value,
            "status": status.get("Status"),
            "message_id": status.get("MessageId"),
        }
        for row, verdict, status in zip(rows, verdicts, statuses, strict=True)
    ]
    return told
