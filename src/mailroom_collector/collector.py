"""The collector's main loop, from a notification to a line that the reader has read."""

import time
from collections.abc import Callable

from mailroom_collector.claims import Claims
from mailroom_collector.errors import ReaderGone
from mailroom_collector.event_poll import EventPoll
from mailroom_collector.ledger.session import LedgerSession
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_collector.report.reporter import Reporter
from mailroom_collector.schedule.ledger_polls import LedgerPolls
from mailroom_runtime.errors import MailroomError, OperatorNeeded, StatementRefused, Unavailable
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_runtime.words import counted

_NEVER = float("inf")
_MOST_COUNTED = 1_000_000
"""Rows to count for the progress bar. If an action is urgent, each of them is read, so there is a limit."""


class Collector:
    """Runs until a signal comes, the reader goes away, or an error occurs that only an operator can fix."""

    def __init__(
        self,
        session: LedgerSession,
        polls: LedgerPolls,
        claims: Claims,
        reporter: Reporter,
        watchdog: Watchdog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._polls = polls
        self._claims = claims
        self._reporter = reporter
        self._watchdog = watchdog
        self._clock = clock
        self._events = EventPoll(claims.output)
        self._is_stopping = False

    def run(self) -> None:
        """Collect until SIGTERM or SIGINT. Raises ReaderGone, OperatorNeeded or another MailroomError."""
        with Wakeup() as wakeup, self._watchdog:
            try:
                while not (self._is_stopping and self._claims.output.empty):
                    self.run_once(wakeup)
                self._finish()
            except ReaderGone:
                self._abandon()
                raise
            finally:
                self._reporter.notifier.stopping()
                self._reporter.bar.erase()
                self._reporter.late_mails.suspend()
                self._session.close()
                self._claims.log_counts(is_end=True)
                self._reporter.sum_up(self._claims.totals, 0, is_end=True)

    def run_once(self, wakeup: Wakeup) -> None:
        """Do everything that is due, then wait for the next event. Raises like run()."""
        self._watchdog.reset()
        try:
            ledger = self._session.ledger or self._connect()
            if ledger is not None:
                self.work(ledger)
        except (Unavailable, OperatorNeeded, StatementRefused) as error:
            self._lost(error)
        self._report()
        if self._claims.output.is_writable and not self._claims.output.empty:
            self._claims.write()  # no wait follows, because there may be more to claim
        elif not self._has_notifications():
            self._wait(wakeup)

    # The database

    def _connect(self) -> CollectorLedger | None:
        """Connect if the time for the next try has come."""
        if self._clock() < self._session.connect_at or self._is_stopping:
            return None
        ledger = self._session.connect()
        self._polls.connected()
        self._claims.connected(ledger)
        self._reporter.notifier.ready()
        self._reporter.send_status_soon()
        return ledger

    def _lost(self, error: MailroomError) -> None:
        """Close the connection, to connect again later. Raises like LedgerSession.lost()."""
        self._session.lost(error)
        self._reporter.bar.erase()
        self._polls.disconnected()
        self._claims.withdraw()
        self._reporter.notifier.status(f"waiting for the database: {error}")

    def _has_notifications(self) -> bool:
        """Return whether notifications came during the statements of this round. The poll would not see these."""
        ledger = self._session.ledger
        if ledger is None:
            return False
        try:
            return self._polls.has_notifications(ledger)
        except Unavailable as error:
            self._lost(error)
            return False

    # From a notification to a line

    def work(self, ledger: CollectorLedger) -> None:
        """Do everything that is due with the ledger, once. Raises like its steps."""
        self._read_state(ledger)
        self._polls.poll(ledger)
        self._watchdog.reset()  # after each statement that may take as long as the answer timeout
        if self._claims.is_extension_due():
            if self._claims.extend(ledger):
                self._polls.timer.draining = True
            self._watchdog.reset()
        if self._claims.release_stuck(ledger):
            self._polls.timer.draining = True
        if self._is_stopping:
            self._claims.release_unwritten(ledger)
        elif self._polls.timer.is_due(self._clock()) and self._claims.may_claim(ledger):
            self._claim(ledger)
        elif not self._polls.timer.draining or self._claims.output.is_stalled or not self._claims.room:
            self._claims.print_and_record(ledger)

    def _read_state(self, ledger: CollectorLedger) -> None:
        """Read whether the queue is paused, if that is due. If it is, release the claimed rows."""
        change = self._polls.read_state(ledger)
        if change is None:
            return
        self._reporter.send_status_soon()
        if change.is_paused:
            log(change.text, "warning", event="queue_paused", queue=ledger.queue, reason=change.reason)
            self._claims.pause(ledger)
        else:
            log(change.text, event="queue_resumed", queue=ledger.queue)

    def _claim(self, ledger: CollectorLedger) -> None:
        result = self._claims.claim(ledger)
        self._session.worked()
        if result.found_rows:
            self._polls.found_rows()
            self._reporter.found_rows()
        if result.drained:
            self._polls.drained()
            self._session.close_second()
            if not self._claims.output.empty:
                self._claims.write()  # before the next query, so that the mail does not wait for it
            self._polls.count_after_drain(ledger, found_rows=result.found_rows)

    # Reports

    def _report(self) -> None:
        """Report to the log, the service manager and the terminal, if a report is due."""
        printed = self._claims.output.rows
        self._claims.log_counts()
        self._reporter.sum_up(self._claims.totals, self._claims.held)
        ledger = self._session.ledger
        if ledger is not None:
            self._reporter.send_status(printed, is_paused=self._polls.pause.since is not None)
        is_backlog = self._polls.timer.draining or self._claims.unread > 0
        if ledger is None or self._is_stopping or self._polls.pause.since is not None:
            self._reporter.late_mails.suspend()
        else:
            self._reporter.late_mails.check(is_backlog=is_backlog)
        if ledger is None or self._is_stopping or not is_backlog:
            self._reporter.bar.end()
        else:
            self._reporter.bar.draw(printed, lambda: self._count_backlog(ledger))

    def _count_backlog(self, ledger: CollectorLedger) -> int | None:
        """Return the number of rows that are not printed yet; None if the ledger can't be read now."""
        try:
            return ledger.count_due(_MOST_COUNTED).waiting + self._claims.unread + self._claims.output.rows_waiting
        except MailroomError:
            return None

    # The end

    def _finish(self) -> None:
        """Close stdout, so that the reader sees the end of its input, and record the last rows."""
        self._claims.output.close()
        if self._session.ledger is None:
            return
        try:
            self._claims.finish(self._session.ledger)
        except MailroomError as error:
            log(
                f"{error}; the ledger has no record that the last rows were printed, so they may be printed again",
                error.level,
                event="printed_rows_not_recorded",
                reason=error.message,
            )

    def _abandon(self) -> None:
        """Release the rows that nobody will read."""
        if self._session.ledger is None:
            return
        try:
            released = self._claims.abandon(self._session.ledger)
        except MailroomError as error:
            log(
                f"{error}; the claimed rows are not released; they are due again when their lease ends",
                error.level,
                event="rows_not_released",
                reason=error.message,
            )
        else:
            log(f"released {counted(released, 'claimed row')}", event="rows_released", count=released)

    # Waiting

    def _wait(self, wakeup: Wakeup) -> None:
        """Wait for the next event. Raises ReaderGone."""
        ledger, output = self._session.ledger, self._claims.output
        events = self._events.wait(
            wakeup,
            ledger.link if ledger else None,
            wants_output=not output.empty or (ledger is not None and self._polls.timer.draining),
            timeout_ms=self._timeout_ms,
        )
        if events.is_signalled:
            self._stop(wakeup)
        if events.is_reader_gone and not (self._is_stopping and output.empty):
            raise ReaderGone("the reader of stdout went away")

    def _timeout_ms(self) -> float:
        """Return how long to wait for an event, in ms; a negative number means without a limit."""
        if not self._claims.output.empty:
            self._claims.stalled()
        ends = self._deadline()
        return max(0.0, (ends - self._clock()) * 1000) if ends < _NEVER else -1.0

    def _deadline(self) -> float:
        """Return when to end the wait even if nothing happens."""
        ledger, timer = self._session.ledger, self._polls.timer
        if ledger is None:
            return _NEVER if self._is_stopping else self._session.connect_at
        ends = min(self._claims.deadline(), self._reporter.deadline())
        if not timer.draining:
            return min(ends, self._polls.deadline(), self._claims.idle_check_at)
        if not self._claims.room:
            return min(ends, self._claims.room_deadline())
        return self._clock() if self._claims.output.is_writable else ends

    def _stop(self, wakeup: Wakeup) -> None:
        for stop_signal in wakeup.stops():
            if self._is_stopping:
                raise ReaderGone(f"{stop_signal.name} again: the line that is being written is cut short")
            self._is_stopping = True
            self._reporter.notifier.stopping()
            log(f"{stop_signal.name}: finishing the line, then ending", event="stopping", signal=stop_signal.name)
