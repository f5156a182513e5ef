"""The join: one loop around one poll, from a notification to a line that was taken."""

import os
import random
import select
import time

from mailroom_collector.drain import Drain
from mailroom_collector.errors import ReaderGone
from mailroom_collector.ledger.connection import NAME, ListeningConnection, listen
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.report.progress_bar import BacklogProgress
from mailroom_collector.report.summary import CollectorSummary, Totals
from mailroom_collector.report.terminal import Terminal
from mailroom_collector.schedule.claim_timer import ClaimTimer
from mailroom_collector.schedule.notifications import Notifications
from mailroom_collector.schedule.pause import INTERVAL as _WATCH_EVERY
from mailroom_collector.schedule.pause import LEAST as _WATCH_LEAST
from mailroom_collector.schedule.pause import Pause
from mailroom_collector.settings import CollectorSettings, new_holder
from mailroom_collector.sign.signature import Signer
from mailroom_runtime.backoff import Backoff
from mailroom_runtime.errors import MailroomError, OperatorNeeded, StatementRefused, Unavailable
from mailroom_runtime.postgres.connection import connect
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_runtime.words import counted

_HELD_ROWS = 4500
"""Most rows held at once: one chunk claimed or being signed, one printed, one being emitted."""
_BACKOFF_FIRST, _BACKOFF_CAP = 0.1, 30.0  # seconds
_ROOM_FIRST, _ROOM_CAP = 0.005, 5.0  # seconds between looks whether a sender has begun what fills the pipe
_MAIL_FIRST = 0.005  # seconds from a mail that is printed to the look that follows: the cores are the sender's
_STATUS_EVERY = 5.0  # seconds between what a service manager is told, at least
_ALL = 2**31 - 1  # rows to count
_READER_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Collector:
    """Runs until a signal, a reader that goes away, or an error that needs an operator."""

    def __init__(self, settings: CollectorSettings, outlet: LineOutput, notifier: Notifier, watchdog: Watchdog) -> None:
        self._settings = settings
        self._outlet = outlet
        self._holder = new_holder()
        self._ledger: CollectorLedger | None = None
        # Once a lease at least: a collector that died leaves its rows without announcing them.
        look_interval_ms = min(settings.healthcheck_interval_ms, settings.lease_ms)
        self._agenda = ClaimTimer(settings.batch_limit, settings.batch_timeout_ms / 1000, look_interval_ms / 1000)
        self._hearing = Notifications(settings, self._holder)
        self._most_held = max(_HELD_ROWS, 3 * settings.batch_limit)
        self._backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_CAP)
        self._connect_at: float = 0.0
        self._room = Backoff(_ROOM_FIRST, _ROOM_CAP)
        self._room_at = 0.0
        self._look_at = float("inf")
        self._watch_at = self._watched_at = 0.0
        self._pause = Pause(settings.queue_name)
        self._holding = Leases(outlet, settings.lease_ms)
        self._drain = Drain(
            Signer(settings.secret_key), settings.batch_limit, outlet, self._holding, self._open_emitter
        )
        self._notifier = notifier
        self._watchdog = watchdog
        self._status_at = 0.0
        self._summary = CollectorSummary(time.monotonic())
        self._terminal = Terminal(2, os.environ)
        self._progress = BacklogProgress()
        self._has_worked = False
        self._stopping = False
        self._writable = False
        self._kept_waiting = False

    def run(self) -> None:
        """Collect until SIGTERM or SIGINT. Raises ReaderGone, OperatorNeeded or another MailroomError."""
        if self._terminal.can_draw:
            log.before = self._terminal.erase
        with Wakeup() as wakeup, self._watchdog:
            try:
                while not (self._stopping and self._outlet.empty):
                    self._turn(wakeup)
                self._finish()
            except ReaderGone:
                self._give_up_reader()
                raise
            finally:
                self._notifier.stopping()
                self._close()
                self._drain.tell(is_end=True)
                self._holding.tell(is_end=True)
                self._tell_summary(0)

    def _turn(self, wakeup: Wakeup) -> None:
        self._watchdog.turn()
        try:
            if self._ledger is None:
                self._connect()
            if self._ledger is not None:
                self._work(self._ledger)
        except (Unavailable, OperatorNeeded, StatementRefused) as error:
            self._lost(error)
        self._report()
        if self._writable and not self._outlet.empty:
            self._write()
            return  # there may be more to claim: look before waiting
        if not self._was_rung():
            self._wait(wakeup)

    def _was_rung(self) -> bool:
        """Say whether bells rang during this turn's statements, of which the poll would not know."""
        if self._ledger is None or self._agenda.draining:
            return False
        try:
            return self._ledger.link.was_rung()
        except Unavailable as error:
            self._lost(error)
            return False

    def _work(self, ledger: CollectorLedger) -> None:
        """One look at everything that may be due."""
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch(ledger)
        was_deaf = self._hearing.deaf
        if self._hearing.turn(ledger, now, is_busy=self._agenda.draining):
            self._watch_at = min(self._watch_at, self._watched_at + _WATCH_LEAST)
            if not self._agenda.draining:
                self._announced(ledger)
        if now >= self._look_at and not self._agenda.draining:
            self._look(ledger)
        self._watchdog.turn()  # after each statement that may take as long as the patience
        if self._hearing.deaf != was_deaf:
            self._agenda.deaf(now, self._hearing.deaf)
        if self._holding.extend_at is not None and now >= self._holding.extend_at:
            self._extend(ledger)
            self._watchdog.turn()
        if self._stopping:
            self._drain.withdraw()
            self._holding.give_back(ledger)
        elif self._agenda.due(now) and self._may_claim(ledger):
            self._claim(ledger)
        elif not self._agenda.draining or self._kept_waiting or not self._has_room:
            # Else the next claim sees to both.
            self._drain.pause(ledger)
            self._holding.glance(ledger, now)

    def _watch(self, ledger: CollectorLedger) -> None:
        """See whether the queue is paused, and whether another session attends."""
        watch, now = ledger.watch(), time.monotonic()
        self._watched_at, self._watch_at = now, now + _WATCH_EVERY
        self._hearing.looked(now, another_attends=watch.another_attends)
        news = self._pause.watched(watch.paused_at, watch.paused_reason)
        if news is None:
            return
        log(news, "info" if self._pause.since is None else "warning")
        self._status_at = 0.0
        if self._pause.since is None:
            self._agenda.draining = True
        else:
            self._drain.withdraw()
            self._holding.pause(ledger)

    # The database

    def _connect(self) -> None:
        now = time.monotonic()
        if now < self._connect_at or self._stopping:
            return
        settings = self._settings
        link = listen(settings.database_url, settings.channels, settings.queue_name, settings.patience, on_notice=log)
        self._ledger = CollectorLedger(link, settings.queue_name, self._holder, settings.lease_ms)
        self._agenda.connected(time.monotonic())
        self._hearing.connected(time.monotonic())
        log(f"listening on {' and '.join(settings.channels)}, queue {settings.queue_name}")
        self._drain.learn(self._ledger)
        self._holding.reconnected(self._ledger)
        self._notifier.ready()
        self._status_at = self._watch_at = 0.0

    def _lost(self, error: MailroomError) -> None:
        """Connect again later. Raises the error when it is for a person to see to, and nothing has worked yet."""
        if not (self._has_worked or isinstance(error, Unavailable)):
            raise error
        self._close()
        self._agenda.disconnected()
        self._hearing.disconnected()
        # Their lease can't be renewed now, so they must not go out; they are given back later.
        self._drain.withdraw()
        wait = self._backoff.failed(random.random())
        self._connect_at = time.monotonic() + wait
        log(f"{error}; trying again in {wait:.1f} s", error.level)
        self._notifier.status(f"waiting for the database: {error}")

    def _close(self) -> None:
        self._terminal.erase()
        self._drain.rest()
        if self._ledger:
            self._ledger.link.close()
            self._ledger = None

    def _open_emitter(self) -> CollectorLedger | None:
        """Connect once more, so that emitting does not hold up claiming; without, it does, and that is all."""
        settings = self._settings
        try:
            link = ListeningConnection(connect(settings.database_url, NAME, settings.patience))
        except MailroomError as error:
            log(f"a second connection, which makes a backlog faster, can't be opened: {error}", error.level)
            return None
        return CollectorLedger(link, settings.queue_name, self._holder, settings.lease_ms)

    # From announced to written

    def _announced(self, ledger: CollectorLedger) -> None:
        if self._settings.batch_limit == 1:
            self._agenda.draining = True  # one row is a whole batch: don't count, claim
        else:
            self._look(ledger)

    def _look(self, ledger: CollectorLedger) -> None:
        look = ledger.look(self._settings.batch_limit)
        now, self._look_at = time.monotonic(), float("inf")
        if self._agenda.looked(now, look.waiting, look.next_due_ms):
            self._hearing.found(now)
        self._hearing.looked(now, another_attends=look.another_attends)

    def _may_claim(self, ledger: CollectorLedger) -> bool:
        if not self._outlet.empty or not self._writable:
            return False
        if not self._has_room and self._holding.acknowledged and time.monotonic() >= self._room_at:
            self._holding.extend(ledger)  # tells which of them a sender has begun
            self._room_at = time.monotonic() + self._room.failed(1.0)
        if self._has_room:
            self._room.succeeded()
        return self._has_room

    def _claim(self, ledger: CollectorLedger) -> None:
        progress = self._drain.claim(ledger)
        self._has_worked = True
        self._backoff.succeeded()  # here, as a connection that opens may still be of no use
        if progress.found:
            self._hearing.found(time.monotonic())
            self._summary.happened(time.monotonic())
        if progress.drained:
            self._agenda.drained(time.monotonic())
            self._drain.rest()
            if not self._outlet.empty:
                self._write()  # a mail does not wait for the look
            if self._hearing.attending:
                return  # who attends will look in a moment
            if progress.found:
                self._look_at = time.monotonic() + _MAIL_FIRST
            else:
                self._look(ledger)  # at once: until then the agenda holds that it is time to claim

    def _write(self) -> None:
        self._outlet.write()
        self._writable = self._kept_waiting = False
        self._holding.written(time.monotonic())

    # Telling how it goes

    def _report(self) -> None:
        """Tell the service manager, the log and the terminal, as far as there is something to tell."""
        now = time.monotonic()
        self._drain.tell()
        self._holding.tell()
        if now >= self._summary.due_at:
            self._tell_summary(len(self._holding))
        if self._ledger is not None and now >= self._status_at:
            self._status_at = now + _STATUS_EVERY
            paused = "" if self._pause.since is None else "; the queue is paused"
            self._notifier.status(f"{counted(self._outlet.rows, 'row')} printed since the start{paused}")
        if self._terminal.can_draw:
            self._draw(now)

    def _tell_summary(self, in_hand: int) -> None:
        totals = Totals(
            self._outlet.rows, self._outlet.lines, self._drain.stale, self._holding.aside, self._drain.doubts
        )
        if told := self._summary.tell(time.monotonic(), totals, in_hand):
            log(told)

    def _draw(self, now: float) -> None:
        ledger, printed = self._ledger, self._outlet.rows
        if ledger is None or self._stopping or not (self._agenda.draining or self._drain.unsigned):
            self._progress.ended()
            self._terminal.erase()
            return
        if self._progress.goes_on(now, printed):
            try:
                waiting = ledger.look(_ALL).waiting + self._drain.unsigned + self._outlet.rows_waiting
            except MailroomError:
                return  # found out and told of at the next turn
            self._progress.counted(time.monotonic(), printed, waiting)
        if now >= self._progress.draw_at:
            self._terminal.draw(self._progress.line(now, printed, self._terminal.columns))

    # What becomes of what was written

    def _extend(self, ledger: CollectorLedger) -> None:
        """Renew the leases; what a reader that takes nothing left unread is given back instead."""
        if not self._outlet.empty and not self._writable and self._drain.withdraw():
            self._holding.give_back(ledger)
            self._drain.chunk.stalled()
            self._agenda.draining = True
        self._holding.extend(ledger)

    def _finish(self) -> None:
        """Close stdout, so that the reader sees the end."""
        self._outlet.close()
        if self._ledger:
            try:
                self._holding.finish(self._ledger)
            except MailroomError as error:
                log(f"{error}; what was just printed may be printed again", error.level)

    def _give_up_reader(self) -> None:
        if not self._ledger:
            return
        self._drain.withdraw()
        try:
            given_back = self._holding.abandon(self._ledger)
        except MailroomError as error:
            log(f"{error}; what was claimed comes back when its lease ends", error.level)
        else:
            log(f"gave back {counted(given_back, 'claimed row')}")

    # Waiting

    def _wait(self, wakeup: Wakeup) -> None:
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        wants_out = not self._outlet.empty or (self._ledger is not None and self._agenda.draining)
        poll.register(self._outlet.fd, select.POLLOUT if wants_out and not self._writable else 0)
        if self._ledger is not None:
            poll.register(self._ledger.link, select.POLLIN)
        ready = dict(poll.poll(0))
        if not ready:
            if not self._outlet.empty:
                self._kept_waiting = True
                self._drain.chunk.stalled()
            ready = dict(poll.poll(self._patience()))
        if wakeup.fileno() in ready:
            self._signalled(wakeup)
        out = ready.get(self._outlet.fd, 0)
        if out & _READER_GONE and not (self._stopping and self._outlet.empty):
            raise ReaderGone("the reader of stdout went away")
        self._writable = self._writable or bool(out & select.POLLOUT)

    @property
    def _has_room(self) -> bool:
        return len(self._holding) + self._drain.chunk.rows <= self._most_held

    def _patience(self) -> float:
        """Return how long to wait, in ms."""
        times = [time for time in (self._holding.extend_at, self._holding.glance_at) if time is not None]
        others = (self._summary.due_at, self._progress.draw_at, self._drain.tell_at, self._holding.tell_at)
        times += [time for time in others if time < float("inf")]
        if self._ledger is None:
            times = [] if self._stopping else [self._connect_at]
        elif not self._agenda.draining:
            times += [self._agenda.deadline(), self._hearing.deadline(), self._look_at, self._watch_at]
        elif not self._has_room:
            times.append(max(self._room_at, time.monotonic() + _ROOM_FIRST))
        elif self._writable:
            times.append(time.monotonic())
        return max(0.0, (min(times) - time.monotonic()) * 1000) if times else -1.0

    def _signalled(self, wakeup: Wakeup) -> None:
        for number in wakeup.stops():
            if self._stopping:
                raise ReaderGone(f"{number.name} again; the line being written is cut short")
            self._stopping = True
            self._notifier.stopping()
            log(f"{number.name}: finishing the line")
