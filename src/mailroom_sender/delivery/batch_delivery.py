"""Delivers one batch: begins, calls, settles and prints each part. Runs in a worker's thread."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted
from mailroom_sender.delivery.addresses import split_by_address
from mailroom_sender.delivery.batch_progress import BatchProgress
from mailroom_sender.delivery.call_log import log_call
from mailroom_sender.delivery.protocol import DeliveryResult
from mailroom_sender.delivery.refusal_run import RefusalRun
from mailroom_sender.delivery.ses_calls import SesCalls
from mailroom_sender.errors import Stopped
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import Retry, SenderLedger, Settlement
from mailroom_sender.log import log
from mailroom_sender.schedule.retries import delay_after
from mailroom_sender.ses.client import CallOutcome
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict

_LOCKED_FOR: Final = 0.25  # seconds until a row that another transaction had locked is begun again


def log_left_rows(count: int, *, at_most: bool = False) -> None:
    """Log that rows could not be released."""
    log(
        f"the database did not answer before the end: {'up to ' if at_most else ''}{counted(count, 'row')} not"
        " released; they are due again when their lease ends",
        "warning",
        event="rows_left_to_lease",
        count=count,
    )


def locked_again(locked: Sequence[Row]) -> list[Retry]:
    """Return when to begin again rows that another transaction had locked."""
    return [Retry(row, _LOCKED_FOR) for row in locked]


class BatchDelivery:
    """Delivers one batch. If SES refuses a call and one row may be at fault, splits the call until a row is alone."""

    def __init__(
        self,
        batch: Sequence[Row],
        ledger: SenderLedger,
        calls: SesCalls,
        run: RefusalRun,
        not_sent: RepeatedLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin the batch without waiting: the ledger works while a worker wakes and builds the call."""
        self._batch = list(batch)
        self._ledger = ledger
        self._calls = calls
        self._not_sent = not_sent
        self._clock = clock
        self._run = run
        self._progress = BatchProgress(self._batch, run)
        self._result = DeliveryResult(self._batch[0].action)
        self._holder = ledger.new_holder()
        self._permission = ledger.begin_soon(self._batch, self._holder)

    def deliver(self) -> DeliveryResult:
        """Deal with every row of the batch."""
        progress = self._progress
        try:
            while progress.parts:
                part = progress.parts.pop()
                if progress.held:
                    self._put_back(progress.held)
                else:
                    self._deliver_part(part)
                self._settle(self._decided())
                if progress.parts:
                    # Begin again for each part: a token may be stale now, and the lease is renewed.
                    self._permission = self._ledger.begin_soon(progress.parts.next, self._holder)
        except Stopped:
            log_left_rows(len(self._batch) - len(self._result.verdicts), at_most=True)
        return self._result

    def _put_back(self, held: Verdict) -> None:
        """Record the reason why these rows wait: no call is made for them now."""
        begun, locked = self._permission.wait()
        self._retry_locked(locked)
        self._settle([Settlement(one, held, delay_after(held, one.attempt, random.random())) for one in begun])

    def _deliver_part(self, rows: Sequence[Row]) -> None:
        """Call for some rows of the batch, and settle what is decided."""
        called_at = self._clock()
        try:
            outcome = self._calls.call_early(rows, self._permission)
        finally:
            begun, locked = self._permission.wait()
        self._retry_locked(locked)
        fit, unfit = split_by_address(begun)
        self._note_unfit(unfit)
        if not fit:
            self._settle([], unfit)
            return
        fit_rows = [one.row for one in fit]
        outcome = outcome or self._calls.call(fit_rows, self._permission)
        verdicts = self._judge(fit, outcome, called_at)
        self._settle(self._progress.settled_now(fit, verdicts), unfit)
        # Last, because it may block for longer than a lease if nobody reads stdout.
        self._calls.print_answer(fit_rows, outcome, verdicts)

    def _retry_locked(self, locked: Sequence[Row]) -> None:
        self._result.again += locked_again(locked)

    def _note_unfit(self, unfit: Sequence[Settlement]) -> None:
        self._result.unfit += len(unfit)
        for one in unfit:
            self._not_sent(one.verdict.reason if one.verdict else "", [one.begun.token], "warning")

    def _judge(self, begun: Sequence[Begun], outcome: CallOutcome, called_at: float) -> list[Verdict]:
        """Return the verdicts on the rows of a call, given all calls of this action. Log them."""
        if outcome.took is not None:
            self._result.took.append(outcome.took)
        rows = [one.row for one in begun]
        verdicts = self._calls.judge(rows, outcome, source_works=self._progress.source_works)
        verdicts = self._progress.answered(begun, verdicts, called_at, self._clock())
        log_call(begun, verdicts, self._progress.logged)
        return verdicts

    def _decided(self) -> list[Settlement]:
        """Return the rows that were refused alone and are judged now. Log which of them failed."""
        settled = self._progress.decided(self._clock())
        failed = [(one.begun, one.verdict) for one in settled if one.verdict and one.verdict.outcome is Outcome.NEVER]
        log_call([begun for begun, _ in failed], [verdict for _, verdict in failed], self._progress.logged)
        return settled

    def _settle(self, settlements: Sequence[Settlement], unfit: Sequence[Settlement] = ()) -> None:
        """Record outcomes. Rows that SES can never accept are counted separately."""
        for one in settlements:
            if one.verdict and one.verdict.outcome is Outcome.SENT:
                self._run.forget(one.begun.row.secret)
        self._result.verdicts += [one.verdict for one in settlements if one.verdict]
        self._result.again += self._ledger.settle([*unfit, *settlements])
