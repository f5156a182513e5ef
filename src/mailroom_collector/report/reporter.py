"""Reports to the people who run the collector: a summary and a warning in the log, a status, a bar on the terminal."""

import time
from collections.abc import Callable
from typing import Final

from mailroom_collector.log import log
from mailroom_collector.report.backlog_bar import BacklogBar
from mailroom_collector.report.late_mails import LateMails
from mailroom_collector.report.summary import CollectorSummary, SummaryPeriod, Totals
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.words import counted

_STATUS_EVERY: Final = 5.0
"""The shortest time between two statuses for the service manager, in seconds."""


class Reporter:
    """Makes each report when it is due. Times are monotonic seconds."""

    def __init__(
        self, notifier: Notifier, bar: BacklogBar, late_mails: LateMails, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.notifier = notifier
        self.bar = bar
        self.late_mails = late_mails
        self._clock = clock
        self._summary = CollectorSummary(clock())
        self._status_at = 0.0

    def found_rows(self) -> None:
        """Note that rows were claimed, so that there is something to sum up."""
        self._summary.found_rows(self._clock())

    def sum_up(self, totals: Totals, claimed: int, *, is_end: bool = False) -> None:
        """Log what was done since the last summary, if it is time or this is the end."""
        now = self._clock()
        if not is_end and now < self._summary.due_at:
            return
        line = self._summary.report(now, totals, claimed)
        if line is not None:
            _log_summary(line)

    def send_status_soon(self) -> None:
        """Send the status to the service manager at the next call of send_status()."""
        self._status_at = 0.0

    def send_status(self, printed: int, *, is_paused: bool) -> None:
        """Send the number of printed rows to the service manager, if that is due."""
        now = self._clock()
        if now >= self._status_at:
            self._status_at = now + _STATUS_EVERY
            paused = "; the queue is paused" if is_paused else ""
            self.notifier.status(f"{counted(printed, 'row')} printed since the start{paused}")

    def deadline(self) -> float:
        """Return when there is next something to report, whatever happens."""
        return min(self._summary.due_at, self.bar.draw_at, self.late_mails.due_at)


def _log_summary(line: SummaryPeriod) -> None:
    log(
        line.text,
        event="summary",
        for_s=round(line.seconds, 1),
        rows=line.done.rows,
        lines=line.done.lines,
        stale=line.done.stale,
        rejected=line.done.rejected,
        in_doubt=line.done.in_doubt,
        claimed=line.claimed,
    )
