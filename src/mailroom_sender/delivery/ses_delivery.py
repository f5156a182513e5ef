"""One batch: begin, call, verdicts, settle, report. Runs in a worker's thread."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted
from mailroom_sender.address.email_address import UnfitAddress, for_ses
from mailroom_sender.delivery.batch_progress import BatchProgress
from mailroom_sender.delivery.call_log import log_call
from mailroom_sender.delivery.refusal_run import RefusalRun
from mailroom_sender.errors import Stopped
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.steps import BeginResult, Begun, Retry, SenderLedger, Settlement, not_sent_log
from mailroom_sender.log import log
from mailroom_sender.output.mail_text import mail_text
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.ses.client import CallOutcome, RawResponse, SesClient
from mailroom_sender.ses.redaction import masked, message_id, without_secrets
from mailroom_sender.ses.request import Envelope, build
from mailroom_sender.ses.verdict import Accepted, CallQuestion, NotAsked, Outcome, Refused, SesAnswer, Verdict, judge

_NOT_SENT: Final = (NotAsked("the call was not made"), None)
_SIGNATURE_FRESH: Final = 30.0
"""Seconds that a signed request may wait for the ledger: SES refuses it after five minutes (Signature Version 4)."""
_LOCKED_FOR: Final = 0.25  # seconds until a row is asked for again that somebody has locked


@dataclass(slots=True)
class DeliveryResult:
    """What a batch taught: its rows' verdicts, and which of them this sender tries again."""

    action: MailAction
    verdicts: list[Verdict] = field(default_factory=list)
    again: list[Retry] = field(default_factory=list)
    unfit: int = 0  # rows whose address SES can never take
    took: list[float] = field(default_factory=list)  # seconds from each call to its answer


class Delivery(Protocol):
    """What a worker does with a batch of one action."""

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Set out, without waiting; return what deals with every row of the batch, in a worker. Neither raises."""

    def give_back(self, rows: Sequence[Row]) -> None:
        """Hand back rows that will not be tried now."""

    @property
    def tell_at(self) -> float:
        """Return when to call tell(), in monotonic seconds."""

    def tell(self, *, is_end: bool) -> None:
        """Log what was counted since, if it is time to or this is the end."""


class SesDelivery:
    """Sends batches through SES, fenced and recorded by the ledger."""

    def __init__(
        self,
        ledger: SenderLedger,
        ses: SesClient,
        envelope: Envelope,
        setaside: OutputFiles,
        report: CallOutput,
        not_sent: RepeatedLog | None = None,
    ) -> None:
        """`not_sent` logs rows that are not sent; the ledger may share it."""
        self._not_sent = not_sent or not_sent_log()
        self._ledger = ledger
        self._ses = ses
        self._envelope = envelope
        self._setaside = setaside
        self._report = report
        self._runs: defaultdict[str, RefusalRun] = defaultdict(RefusalRun)  # by the action's name

    @property
    def tell_at(self) -> float:
        """Return when to call tell()."""
        return self._not_sent.due_at

    def tell(self, *, is_end: bool) -> None:
        """Log how many rows were not sent."""
        self._not_sent.tell(is_end=is_end)

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Begin a batch, so that the ledger is at it while a worker wakes and builds the call."""
        holder, run = self._ledger.new_holder(), self._runs[batch[0].action.name]
        return partial(self._deliver, list(batch), run, holder, self._ledger.begin_soon(batch, holder))

    def _deliver(
        self, batch: list[Row], run: RefusalRun, holder: str, answered: Callable[[], BeginResult]
    ) -> DeliveryResult:
        """Send a batch; a call that SES refuses for perhaps one row's fault is split until it is alone."""
        result, progress = DeliveryResult(batch[0].action), BatchProgress(batch, run)
        try:
            while progress.parts:
                part = progress.parts.take()
                if progress.held:
                    self._put_back(answered, progress.held, result)
                else:
                    self._part(part, answered, result, progress)
                self._settle([], self._decided(progress), result, run)
                if progress.parts:
                    # Again for each part: what is stale by now must not go, and the lease is renewed.
                    answered = self._ledger.begin_soon(progress.parts.next, holder)
        except Stopped:
            left = counted(len(batch) - len(result.verdicts), "row")
            log(f"up to {left} of a call left to the lease: the database did not answer before the end", "warning")
        return result

    def _decided(self, progress: BatchProgress) -> list[Settlement]:
        """Return the rows that were refused alone and are judged by now; log which of them failed."""
        settled = progress.decided(time.monotonic())
        failed = [(one.begun, one.verdict) for one in settled if one.verdict and one.verdict.outcome is Outcome.NEVER]
        log_call([begun for begun, _ in failed], [verdict for _, verdict in failed], progress.said)
        return settled

    def _put_back(self, answered: Callable[[], BeginResult], held: Verdict, result: DeliveryResult) -> None:
        """Record of rows that are not called for now why they wait."""
        begun, locked = answered()
        result.again += [Retry(row, _LOCKED_FOR) for row in locked]
        result.verdicts += [held] * len(begun)
        result.again += self._ledger.settle([Settlement(one, held) for one in begun])

    def _part(
        self, rows: list[Row], answered: Callable[[], BeginResult], result: DeliveryResult, progress: BatchProgress
    ) -> None:
        """Call for some rows of a batch, and settle what is decided."""
        called_at = time.monotonic()
        try:
            sent = self._send_early(rows, answered, result)
        finally:
            asked, locked = answered()
        begun, unfit = _sort_out(asked)
        result.again += [Retry(row, _LOCKED_FOR) for row in locked]
        result.unfit += len(unfit)
        for one in unfit:
            self._not_sent(one.verdict.reason if one.verdict else "", [one.begun.token], "warning")
        if not begun:
            result.again += self._ledger.settle(unfit)
            return
        if sent is None:
            sent = self._send([b.row for b in begun], lambda: _call_by(begun), result) or _NOT_SENT
        answer, raw = sent
        verdicts = self._judge(begun, answer, raw, source_works=progress.source_works)
        verdicts = progress.learn(begun, verdicts, called_at, time.monotonic())
        log_call(begun, verdicts, progress.said)
        self._settle(unfit, progress.settled_now(begun, verdicts), result, progress.run)
        # Last, as a stdout that nobody empties may hold it up for longer than a lease.
        self._report.line(_told(answer, [b.row for b in begun], verdicts))

    def _settle(
        self, unfit: list[Settlement], settlements: list[Settlement], result: DeliveryResult, run: RefusalRun
    ) -> None:
        for one in settlements:
            if one.verdict and one.verdict.outcome is Outcome.SENT:
                run.forget(one.begun.row.secret)
        result.verdicts += [one.verdict for one in settlements if one.verdict]
        result.again += self._ledger.settle(unfit + settlements)

    def _send(self, rows: list[Row], call_by: Callable[[], float | None], result: DeliveryResult) -> CallOutcome | None:
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

    def _send_early(
        self, rows: list[Row], answered: Callable[[], BeginResult], result: DeliveryResult
    ) -> CallOutcome | None:
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

    def _judge(
        self, begun: list[Begun], answer: SesAnswer, raw: RawResponse | None, *, source_works: bool
    ) -> list[Verdict]:
        rows = [b.row for b in begun]
        verdicts = judge(answer, CallQuestion(rows, self._envelope, source_works))
        # Of a call that is split, the response to the row that is at fault is kept.
        final = next((verdict for verdict in verdicts if verdict.outcome is not Outcome.SPLIT), None)
        if raw is not None and final is not None:
            self._setaside.response(rows[0].action, masked(raw.to_bytes(), rows), final.reason)
        return verdicts

    def give_back(self, rows: Sequence[Row]) -> None:
        """Return rows to the ledger, due at once; without one, to a replay file."""
        if not rows:
            return
        try:
            begun = self._ledger.begin(rows, self._ledger.new_holder()).begun
            self._ledger.settle([Settlement(one, None) for one in begun])
        except Stopped:
            log(f"{counted(len(rows), 'row')} left to the lease: the database did not answer before the end", "warning")


class PreviewDelivery:
    """Debug mode: prints each request as it would be made, or its mails for a person, and sends nothing."""

    def __init__(self, envelope: Envelope, setaside: OutputFiles, report: CallOutput, *, as_text: bool) -> None:
        """`as_text`: print mails for a person."""
        self._as_text = as_text
        self._envelope = envelope
        self._setaside = setaside
        self._report = report

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Print the batch's request, in a worker."""
        return partial(self._print, batch)

    def _print(self, batch: Sequence[Row]) -> DeliveryResult:
        begun, unfit = _sort_out([Begun(row, 0, 1) for row in batch])
        for settlement in unfit:
            self._setaside.reject(settlement.begun.row.raw, settlement.verdict.reason if settlement.verdict else "")
        if self._as_text:
            for one in begun:
                self._report.text(mail_text(one.row, self._envelope.base_url))
        elif begun:
            self._report.line(build([b.row for b in begun], self._envelope))
        return DeliveryResult(batch[0].action)

    def give_back(self, rows: Sequence[Row]) -> None:
        """Nothing was to be sent."""

    @property
    def tell_at(self) -> float:
        """Never."""
        return float("inf")

    def tell(self, *, is_end: bool) -> None:
        """Nothing is counted."""


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
            unfit.append(Settlement(one, Verdict(Outcome.NEVER, str(reason))))
        else:
            fit.append(one)
    return fit, unfit


def _told(answer: SesAnswer, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> dict[str, Any]:
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
            "status": without_secrets(status["Status"], rows) if "Status" in status else None,
            "message_id": message_id(status["MessageId"], rows) if "MessageId" in status else None,
        }
        for row, verdict, status in zip(rows, verdicts, statuses, strict=True)
    ]
    return told
