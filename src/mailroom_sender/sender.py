"""The join: one poll, a few workers, and bounded buffers between them.

What is read waits for a free worker, never for company: a call takes what is there. While the
workers are busy or calls are held, nothing more is read, the pipe fills, and the collector stops.
"""

import heapq
import itertools
import random
import select
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from mailroom_runtime.errors import MailroomError, Unavailable
from mailroom_runtime.log import Level
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_runtime.words import counted
from mailroom_sender.delivery.ses_delivery import Delivery, DeliveryResult
from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import BadRow, Bytes, Row, UnknownRow
from mailroom_sender.input.stdin import LONGEST_LINE, LineInput, OverlongLine
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.ledger.connection import SharedConnection
from mailroom_sender.log import log
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.output.summary import SenderSummary
from mailroom_sender.schedule.gates import Gates
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows

_DISK_RETRY: Final = 1.0  # seconds between tries to write what the disk did not take
_ROWS_AT_ONCE: Final = 500  # that are taken out of what was read; bad ones among them are written together
_CONNECT_RETRY: Final = 2.0  # seconds between tries to reach the database at the start
_STATUS_EVERY: Final = 5.0  # seconds between what a service manager is told, at least


class Sender:
    """Runs until its input ends or a signal comes."""

    def __init__(
        self,
        inlet: LineInput,
        delivery: Delivery,
        setaside: OutputFiles,
        database: SharedConnection | None,
        concurrency: int,
        pace: Pace,
        ask_rate: Callable[[], float | str] | None,
        learning: UnknownActions,
        notifier: Notifier,
        watchdog: Watchdog,
    ) -> None:
        """`ask_rate` is called, in a worker, for the rate that SES allows; None: `pace` is all there is."""
        self._inlet = inlet
        self._delivery = delivery
        self._setaside = setaside
        self._database = database
        self._concurrency = concurrency
        self._most_waiting = 2 * MOST_DESTINATIONS * concurrency
        self._waiting = WaitingRows()
        self._unread: Iterator[Row | UnknownRow | BadRow] | None = None  # the rest of the lines that were read
        self._later: list[tuple[float, int, Row]] = []
        self._later_count = 0
        self._gates = Gates()
        self._pace = pace
        self._quota = Quota(ask_rate, pace)
        self._learning = learning
        self._running: dict[Future[DeliveryResult], list[Row]] = {}
        self._summary = SenderSummary()
        self._notifier = notifier
        self._status_at = 0.0
        self._watchdog = watchdog
        self._stops = 0

    def run(self) -> None:
        """Send until the input ends or a signal comes. Raises OperatorNeeded or another MailroomError."""
        workers = self._concurrency + 2  # for the questions after the rate and the actions, which hold up no call
        with (
            Wakeup() as wakeup,
            self._watchdog,
            ThreadPoolExecutor(workers, thread_name_prefix="call") as pool,
        ):
            self._open_database(wakeup)
            while not self._done:
                self._report()
                self._quota.turn(pool, time.monotonic(), wakeup.finished)
                self._learn_actions(pool, wakeup)
                self._take_results()
                self._take_rows()
                self._dispatch(pool, wakeup)
                if not self._done:
                    self._wait(wakeup)
            self._finish()
            self._delivery.tell(is_end=True)
            self._tell_summary()
        if self._setaside.owes:
            lost = counted(self._setaside.owes, "entry", "entries")
            raise MailroomError(f"{lost} lost, as the output folder could not be written")
        if not self._stops and (told := self._setaside.told):
            raise MailroomError(f"not all of the input was sent: {told}")

    @property
    def _reads(self) -> bool:
        return not self._stops and not self._inlet.ended

    @property
    def _done(self) -> bool:
        if self._running or self._reads:
            return False
        if self._stops:
            return True
        # Nobody knows how long calls will be held; without input to wait for, this sender won't.
        if self._learning:
            return False
        if self._gates.held:
            return True
        return self._unread is None and not self._waiting and not self._later and not self._setaside.owes

    @property
    def _has_room(self) -> bool:
        held = len(self._waiting) + len(self._later) + len(self._learning)
        return held < self._most_waiting and not self._setaside.owes

    def _open_database(self, wakeup: Wakeup) -> None:
        if self._database is None:
            return
        while not self._stops:
            self._watchdog.turn()
            try:
                taken_over = self._database.open()
            except Unavailable as error:
                log(f"{error}; trying again in {_CONNECT_RETRY:.1f} s", error.level)
                self._notifier.status(f"waiting for the database: {error}")
                select.select([wakeup], [], [], _CONNECT_RETRY)
                self._stops += len(wakeup.stops())
                continue
            rows = f"; taking over {counted(taken_over, 'row')} that had been handed out before" if taken_over else ""
            log(f"acknowledging what is sent, in the ledger{rows}")
            return

    # Telling how it goes

    def _report(self) -> None:
        """Tell the watchdog, the service manager and the log, as far as there is something to tell."""
        self._watchdog.turn()
        if not self._stops:
            self._notifier.ready()
        self._delivery.tell(is_end=False)
        if time.monotonic() >= self._summary.due_at:
            self._tell_summary()
        if time.monotonic() >= self._status_at:
            self._status_at = time.monotonic() + _STATUS_EVERY
            held = self._gates.reason
            sent = counted(self._summary.sent, "mail")
            self._notifier.status(f"{sent} since the start{held and f'; calls wait: {held}'}")

    def _tell_summary(self) -> None:
        if told := self._summary.tell(time.monotonic()):
            log(told)

    # From stdin to a worker

    def _read(self) -> None:
        lines: list[Bytes] = []
        for line in self._inlet.read():
            if isinstance(line, OverlongLine):
                reject = self._setaside.reject_all if line.is_first else self._setaside.reject_more
                reject([BadRow(line.data, f"the line is longer than {LONGEST_LINE:,} bytes")])
            else:
                lines.append(line)
        if self._inlet.ended and self._inlet.leftover():
            self._setaside.reject(self._inlet.leftover(), "the input ended before the end of the line")
        self._unread = self._decode(lines)
        self._take_rows()

    def _decode(self, lines: Sequence[Bytes]) -> Iterator[Row | UnknownRow | BadRow]:
        for line in lines:
            yield from decode_line(line, self._learning.known)

    def _take_rows(self, *, all_of_them: bool = False) -> None:
        """Take rows out of what was read while there is room: a line may have thousands."""
        while self._unread is not None and (self._has_room or all_of_them):
            rows = list(itertools.islice(self._unread, _ROWS_AT_ONCE))
            self._setaside.reject_all([bad for row in rows if (bad := self._take(row))])
            if len(rows) < _ROWS_AT_ONCE:
                self._unread = None

    def _take(self, row: Row | UnknownRow | BadRow, *, was_asked_for: bool = False) -> BadRow | None:
        """Let a row wait for a call, or for what is known of its action; return it, with why, if it is bad."""
        if isinstance(row, Row):
            self._waiting.put(row)
        elif isinstance(row, BadRow):
            return row
        elif was_asked_for or not self._learning.put(row):
            return BadRow(row.raw, self._learning.why_unknown(row))
        return None

    def _learn_actions(self, pool: ThreadPoolExecutor, wakeup: Wakeup) -> None:
        """Ask for the actions if it is time to, and read again the rows for whose sake was asked."""
        answered = self._learning.turn(pool, time.monotonic(), wakeup.finished, is_busy=bool(self._running))
        rows = self._decode([unknown.raw for unknown in answered])
        self._setaside.reject_all([bad for row in rows if (bad := self._take(row, was_asked_for=True))])

    def _dispatch(self, pool: ThreadPoolExecutor, wakeup: Wakeup) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._waiting.put(heapq.heappop(self._later)[2])
        while self._call_at(now) <= now:
            batch = self._waiting.next_batch(self._closed(now), self._pace.batch(now))
            self._pace.take(len(batch), now)
            self._gates.probing(batch[0].action.name, now)
            future = pool.submit(self._delivery.start(batch))
            self._running[future] = batch
            future.add_done_callback(lambda _: wakeup.finished())

    def _closed(self, now: float) -> frozenset[str]:
        """Return the actions whose rows wait, and may not be sent now."""
        return self._gates.closed(self._waiting.actions, now)

    def _call_at(self, now: float) -> float:
        """Return when the next call is to be made: in the past means now; never, if that is not up to time alone.

        The one place that says so, for dispatching and for waiting: what opens between the two is then not missed.
        """
        if not self._waiting or len(self._running) >= self._concurrency or self._stops:
            return float("inf")
        size = self._waiting.next_size(self._closed(now), self._pace.batch(now))
        if size == 0:
            return self._gates.opens_at(now)
        return max(self._quota.held_until, self._pace.opens_at(size, now))

    # From a worker

    def _take_results(self) -> None:
        for future in [future for future in self._running if future.done()]:
            batch = self._running.pop(future)
            error = future.exception()
            if error is not None:
                # Not its text, which may hold what must not be logged.
                kind = type(error).__name__
                rows = counted(len(batch), "row")
                log(f"a batch of {rows} failed within mailroom: {kind}; please report it", "error")
                self._setaside.replay(batch, "it is not known what became of them")
                continue
            self._learn(future.result())

    def _learn(self, result: DeliveryResult) -> None:
        now = time.monotonic()
        self._summary.add(now, result.verdicts, result.unfit, result.took)
        holds = [verdict.hold for verdict in result.verdicts if verdict.hold]
        level: Level = "info" if not holds else "warning" if holds[0].ends_itself else "error"
        for said in self._gates.learn(result.action.name, result.verdicts, now, random.random()):
            log(said, level)
        if any(verdict.slower for verdict in result.verdicts) and self._pace.throttled(now):
            rate = self._pace.rate(now)
            log(f"SES is to be asked for less: {rate:.1f} recipients a second, then more again", "warning")
        for again in result.again:
            self._later_count += 1
            heapq.heappush(self._later, (now + again.delay, self._later_count, again.row))

    # Waiting and ending

    def _wait(self, wakeup: Wakeup) -> None:
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        if self._reads and self._has_room and self._unread is None:
            poll.register(self._inlet.fd, select.POLLIN)
        ready = dict(poll.poll(self._patience()))
        if self._setaside.owes:
            self._setaside.flush()
        if wakeup.fileno() in ready:
            self._signalled(len(wakeup.stops()))
        if self._inlet.fd in ready and self._reads:
            self._read()

    def _patience(self) -> float:
        """Return how long to wait, in ms."""
        if self._unread is not None and self._has_room:
            return 0.0
        now = time.monotonic()
        times = [self._quota.ask_at, self._learning.deadline(), self._call_at(now), self._summary.due_at]
        times.append(self._delivery.tell_at)
        if self._later:
            times.append(self._later[0][0])
        if self._setaside.owes:
            times.append(now + _DISK_RETRY)
        wait = min(times) - now
        return max(0.0, wait * 1000) if wait < float("inf") else -1.0

    def _signalled(self, stops: int) -> None:
        if not stops:
            return
        if not self._stops:
            log("stopping: finishing the calls that are begun, handing back the rest")
            self._notifier.stopping()
            if self._database:
                self._database.stop()
        self._stops += stops

    def _finish(self) -> None:
        """Hand back what was read and not tried."""
        self._notifier.stopping()
        self._take_rows(all_of_them=True)
        rest: Sequence[Row] = [*self._waiting.take_all(), *(row for _, _, row in self._later)]
        if rest:
            log(f"handing back {counted(len(rest), 'row')}")
        if self._learning:
            log(f"leaving {counted(len(self._learning), 'row')} of unknown actions to the lease")
        for start in range(0, len(rest), MOST_DESTINATIONS):
            self._watchdog.turn()
            self._delivery.give_back(rest[start : start + MOST_DESTINATIONS])
        self._setaside.flush()
        if self._database:
            self._database.close()
