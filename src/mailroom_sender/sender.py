"""The sender's main loop: one poll, a few workers, and bounded buffers between them.

While the workers are busy or calls are held, the sender reads nothing more. Then the pipe fills, and the collector
waits.
"""

import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mailroom_runtime.errors import MailroomError, Unavailable
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.words import counted
from mailroom_sender.call_dispatcher import CallDispatcher
from mailroom_sender.ledger.shared_connection import SharedConnection
from mailroom_sender.log import log
from mailroom_sender.row_reader import RowReader
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS
from mailroom_sender.sender_status import SenderStatus

_CONNECT_RETRY: Final = 2.0  # seconds between tries to reach the database at the start
_QUESTIONS: Final = 4
"""The workers that ask for the rate, for its division and for the actions, and give held rows back.

So these delay no call.
"""


class Sender:
    """Runs until its input ends or a signal comes."""

    def __init__(
        self,
        reader: RowReader,
        calls: CallDispatcher,
        database: SharedConnection | None,
        status: SenderStatus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._calls = calls
        self._database = database
        self._status = status
        self._clock = clock
        self._is_stopped = False

    def run(self) -> None:
        """Send until the input ends or a signal comes. Raises OperatorNeeded or another MailroomError."""
        workers = self._calls.concurrency + _QUESTIONS
        with (
            Wakeup() as wakeup,
            self._status.watchdog,
            ThreadPoolExecutor(workers, thread_name_prefix="call") as pool,
        ):
            self._open_database(wakeup)
            while not self._is_done:
                self._report()
                self._work(pool, wakeup)
                if not self._is_done:
                    self._wait(wakeup)
            self._finish()
        self._raise_unsent()

    def _open_database(self, wakeup: Wakeup) -> None:
        """Connect, if there is a database. Try until that succeeds or the sender must stop."""
        if self._database is None:
            return
        while not self._is_stopped:
            self._status.watchdog.reset()
            try:
                taken_over = self._database.open()
            except Unavailable as error:
                self._note_no_database(error)
                select.select([wakeup], [], [], _CONNECT_RETRY)
                self._is_stopped = bool(wakeup.stops())
            else:
                _log_acknowledging(taken_over or 0)
                return

    def _note_no_database(self, error: Unavailable) -> None:
        log(
            f"{error}; trying again in {_CONNECT_RETRY:.1f} s",
            error.level,
            event="database_unavailable",
            reason=str(error),
            retry_in_s=_CONNECT_RETRY,
        )
        self._status.waiting_for_database(str(error))

    @property
    def _reads(self) -> bool:
        return not self._is_stopped and not self._reader.has_ended

    @property
    def _is_done(self) -> bool:
        if self._calls.is_busy or self._reads:
            return False
        if self._is_stopped:
            return True
        # Calls may be held for any time. After the end of the input this sender waits only for the others.
        if self._reader.unknown_count:
            return False
        schedule = self._calls.schedule
        if schedule.is_held:
            return len(schedule) == schedule.held_count and (self._reader.is_empty or not self._reader.has_room)
        return self._reader.is_empty and not schedule

    def _report(self) -> None:
        self._status.watchdog.reset()
        if not self._is_stopped:
            self._status.running(self._clock(), self._calls.summary.sent, self._calls.schedule.hold_reason)
        self._calls.log_counts(is_end=False)

    def _work(self, pool: ThreadPoolExecutor, wakeup: Wakeup) -> None:
        """Do what can be done now."""
        self._calls.poll_rate(pool, wakeup.wake)
        self._reader.poll_actions(pool, self._clock(), wakeup.wake, is_busy=self._calls.is_busy)
        self._calls.take_results()
        if self._reads:
            self._reader.read_held()
        self._reader.take_rows()
        self._calls.dispatch(pool, wakeup.wake)

    def _wait(self, wakeup: Wakeup) -> None:
        """Wait until there is something to do, and read what has come."""
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        if self._reads and self._reader.wants_input:
            poll.register(self._reader.fd, select.POLLIN)
        ready = dict(poll.poll(self._poll_ms()))
        self._reader.flush()
        if wakeup.fileno() in ready and wakeup.stops():
            self._stop()
        if self._reader.fd in ready and self._reads:
            self._reader.read()

    def _poll_ms(self) -> float:
        """Return how long to wait, in ms; -1: until something comes."""
        now = self._clock()
        wait = min(self._reader.deadline(now), self._calls.deadline(now)) - now
        return max(0.0, wait * 1000) if wait < float("inf") else -1.0

    def _stop(self) -> None:
        if self._is_stopped:
            return
        log("stopping: finishing the calls in progress, then releasing the other rows", event="stopping")
        self._is_stopped = True
        self._status.stopping()
        self._calls.stop()
        if self._database:
            self._database.stop()

    def _finish(self) -> None:
        """Release the rows that were read and not sent."""
        self._status.stopping()
        self._reader.take_rows(all_of_them=True)
        self._note_unknown(self._reader.unknown_count)
        rest = self._calls.schedule.take_all()
        if rest:
            log(f"releasing {counted(len(rest), 'row')}", event="rows_handed_back", count=len(rest))
        for start in range(0, len(rest), MOST_DESTINATIONS):
            self._status.watchdog.reset()
            self._calls.delivery.release(rest[start : start + MOST_DESTINATIONS])
        self._reader.unsent.flush()
        if self._database:
            self._database.close()
        self._calls.log_counts(is_end=True)

    def _note_unknown(self, count: int) -> None:
        if count:
            log(
                f"{counted(count, 'row')} of unknown actions not released; they are due again when their lease ends",
                event="rows_left_to_lease",
                count=count,
            )

    def _raise_unsent(self) -> None:
        if self._reader.unsent.unwritten:
            lost = counted(self._reader.unsent.unwritten, "entry", "entries")
            raise MailroomError(f"{lost} lost: the output folder could not be written")
        if not self._is_stopped and (summary := self._reader.unsent.summary):
            raise MailroomError(f"not all of the input was sent: {summary}")


def _log_acknowledging(taken_over: int) -> None:
    rows = f"; it now also tracks {counted(taken_over, 'row')} handed out before" if taken_over else ""
    log(f"acknowledging what is sent, in the ledger{rows}", event="acknowledging", taken_over=taken_over)
