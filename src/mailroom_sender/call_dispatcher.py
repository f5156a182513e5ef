"""Passes waiting rows to workers, and their results to the schedule."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from mailroom_runtime.words import counted
from mailroom_sender.delivery.protocol import Delivery, DeliveryResult
from mailroom_sender.input.row import Row
from mailroom_sender.log import log
from mailroom_sender.output.summary import SenderSummary
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.hold_log import log_gate, log_lower_rate
from mailroom_sender.schedule.quota import Quota
from mailroom_sender.schedule.rate_share import RateShare


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: list[Row]
    started_at: float  # monotonic seconds


class CallDispatcher:
    """Starts calls. Rows wait for a free worker, but never for more rows: a call has the rows that wait now."""

    def __init__(
        self,
        delivery: Delivery,
        schedule: CallSchedule,
        quota: Quota,
        unsent: UnsentRows,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        share: RateShare | None = None,
    ) -> None:
        """`concurrency` is the largest number of calls in progress. `share` divides the rate among senders."""
        self.delivery = delivery
        self.schedule = schedule
        self.concurrency = concurrency
        self.summary = SenderSummary()
        self._quota = quota
        self._unsent = unsent
        self._clock = clock
        self._share = share
        self._running: dict[Future[DeliveryResult], _Batch] = {}
        self._giving_back: tuple[Future[DeliveryResult], list[Row]] | None = None
        self._is_stopped = False

    @property
    def is_busy(self) -> bool:
        """Return whether a call is in progress, or rows are given back."""
        return bool(self._running) or self._giving_back is not None

    def stop(self) -> None:
        """Begin no more calls."""
        self._is_stopped = True

    def poll_rate(self, pool: Executor, on_finished: Callable[[], None]) -> None:
        """Ask SES for its rate if it is time."""
        self._quota.poll(pool, self._clock(), on_finished)

    def dispatch(self, pool: Executor, on_finished: Callable[[], None]) -> None:
        """Begin the calls that may be made now. `on_finished` is called, in any thread, when one has ended."""
        now = self._clock()
        self.schedule.put_due(now)
        while self._call_at(now) <= now:
            batch = self.schedule.take_batch(now)
            future = pool.submit(self.delivery.start(batch))
            self._running[future] = _Batch(batch, now)
            future.add_done_callback(lambda _: on_finished())
        self._give_back(pool, on_finished)
        if self._share is not None:
            waits = self.schedule.waits_for_pace(now)
            self._share.poll(pool, now, on_finished, waits_for_pace=waits)

    def _give_back(self, pool: Executor, on_finished: Callable[[], None]) -> None:
        """Give held rows back to the ledger, some at a time, besides the calls."""
        if self._giving_back is not None or self._is_stopped:
            return
        held = self.schedule.take_held()
        if held is not None:
            self._giving_back = pool.submit(self.delivery.give_back, held), held.rows
            self._giving_back[0].add_done_callback(lambda _: on_finished())

    def _call_at(self, now: float) -> float:
        if len(self._running) >= self.concurrency or self._is_stopped:
            return float("inf")
        return self.schedule.call_at(now, self._quota.held_until)

    def deadline(self, now: float) -> float:
        """Return when there is something to do even if no call ends."""
        times = (self._quota.ask_at, self._call_at(now), self.schedule.retry_at)
        return min(*times, self.delivery.log_at, self.summary.due_at)

    def take_results(self) -> None:
        """Use the results of the calls that have ended."""
        now = self._clock()
        for future in [future for future in self._running if future.done()]:
            batch = self._running.pop(future)
            self.schedule.pace.note_call_time(now - batch.started_at, self.concurrency)
            if self._has_result(future, batch.rows):
                self._use(future.result(), now)
        if self._giving_back is not None and self._giving_back[0].done():
            (future, rows), self._giving_back = self._giving_back, None
            if self._has_result(future, rows):
                self._retry(future.result(), now)

    def _has_result(self, future: Future[DeliveryResult], rows: list[Row]) -> bool:
        """Return whether a worker has a result. If it has an error instead, keep its rows."""
        error = future.exception()
        if error is None:
            return True
        # Not the text of the error: it may contain secrets.
        fault = type(error).__name__
        log(
            f"a batch of {counted(len(rows), 'row')} failed because of a bug in mailroom: {fault}; please report it",
            "error",
            event="internal_error",
            reason=fault,
            count=len(rows),
        )
        self._unsent.replay(rows, "their outcome is not known")
        return False

    def _use(self, result: DeliveryResult, now: float) -> None:
        self.summary.add(now, result.verdicts, result.unfit, result.took)
        for change in self.schedule.answered(result.action.name, result.verdicts, now, random.random()):
            log_gate(change, gives_back=self.delivery.gives_back)
        slower = [verdict for verdict in result.verdicts if verdict.slower]
        much = not all(verdict.throttled for verdict in slower)
        if slower and self.schedule.pace.slow_down(now, much=much):
            log_lower_rate(self.schedule.pace.rate(now))
        self._retry(result, now)

    def _retry(self, result: DeliveryResult, now: float) -> None:
        for again in result.again:
            self.schedule.retry(again.row, now + again.delay)

    def log_counts(self, *, is_end: bool) -> None:
        """Log the rows that were not sent, and the summary, if it is time or this is the end."""
        self.delivery.log_counts(is_end=is_end)
        if not is_end and self._clock() < self.summary.due_at:
            return
        if line := self.summary.line(self._clock()):
            log(line.text, event="summary", **line.fields)
