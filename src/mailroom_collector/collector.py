"""The join: one loop around one poll, from a notification to a line that was taken."""

import random
import select
import signal
import time

from mailroom_collector.agenda import Agenda, Backoff, ChunkSize
from mailroom_collector.database import listen, notify
from mailroom_collector.echo import Echo
from mailroom_collector.errors import ConnectionLost, MailroomError, ReaderGone, UnfitToken
from mailroom_collector.holding import Holding
from mailroom_collector.ledger import Claim, Ledger
from mailroom_collector.log import log
from mailroom_collector.outlet import Outlet
from mailroom_collector.settings import Settings, new_holder
from mailroom_collector.tokens import Token
from mailroom_collector.wakeup import Wakeup
from mailroom_collector.wire import Row, encode_row, lines

_CHUNK_ROWS = 1000
"""Most rows of one claim: from a few hundred on, its cost a row no longer falls (benchmarks)."""
_HELD_ROWS = 4000
"""Most rows held at once: a pipe (64 KiB) and a sender's buffers hold fewer."""
_BACKOFF_FIRST, _BACKOFF_CAP = 0.1, 30.0  # seconds
_ROOM_FIRST, _ROOM_CAP = 0.005, 5.0  # seconds between looks whether a sender has begun what fills the pipe
_ECHO_PATIENCE = 2.0  # seconds for which the loop may stand still for a call: leases must be extended meanwhile
_READER_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Collector:
    """Runs until a signal, a reader that goes away, or an error that needs an operator."""

    def __init__(self, settings: Settings, outlet: Outlet) -> None:
        self._settings = settings
        self._outlet = outlet
        self._holder = new_holder()
        self._ledger: Ledger | None = None
        self._agenda = Agenda(
            settings.batch_limit, settings.batch_timeout_ms / 1000, settings.healthcheck_interval_ms / 1000
        )
        self._echo = Echo(settings.healthcheck_interval_ms / 1000, self._holder)
        self._chunk = ChunkSize(settings.batch_limit, max(_CHUNK_ROWS, settings.batch_limit))
        self._most_held = max(_HELD_ROWS, 4 * settings.batch_limit)
        self._backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_CAP)
        self._connect_at: float = 0.0
        self._room = Backoff(_ROOM_FIRST, _ROOM_CAP)
        self._room_at = 0.0
        self._holding = Holding(outlet, settings.lease_ms)
        self._stopping = False
        self._writable = False

    def run(self) -> None:
        """Collect until SIGTERM or SIGINT. Raises ReaderGone, OperatorNeeded or another MailroomError."""
        with Wakeup() as wakeup:
            try:
                while not (self._stopping and self._outlet.empty):
                    self._turn(wakeup)
                self._finish()
            except ReaderGone:
                self._give_up_reader()
                raise
            finally:
                if self._ledger:
                    self._ledger.link.close()

    def _turn(self, wakeup: Wakeup) -> None:
        try:
            if self._ledger is None:
                self._connect()
            if self._ledger is not None:
                self._work(self._ledger)
        except ConnectionLost as error:
            self._lost(str(error))
        if self._writable and not self._outlet.empty:
            self._write()
            return  # there may be more to claim: look before waiting
        self._wait(wakeup)

    def _work(self, ledger: Ledger) -> None:
        """One look at everything that may be due."""
        now = time.monotonic()
        was_deaf = self._echo.deaf
        if self._echo.heard(ledger.link.notifications()) and not self._agenda.draining:
            self._announced(ledger)
        self._listen_for_echo(now, was_deaf)
        self._holding.glance(ledger, now)
        if self._holding.extend_at is not None and now >= self._holding.extend_at:
            self._extend(ledger)
        if self._stopping:
            self._holding.withdraw()
            self._holding.give_back(ledger)
        elif self._agenda.due(now) and self._may_claim(ledger):
            self._claim(ledger)
        self._backoff.succeeded()  # here, as a connection that opens may still be of no use

    # The database

    def _connect(self) -> None:
        now = time.monotonic()
        if now < self._connect_at or self._stopping:
            return
        settings = self._settings
        link = listen(
            settings.database_url, settings.channel_name, settings.queue_name, settings.patience, on_notice=log
        )
        self._ledger = Ledger(link, settings.queue_name, self._holder, settings.lease_ms)
        self._agenda.connected(time.monotonic())
        self._echo.connected(time.monotonic())
        log(f"listening on {settings.channel_name}, queue {settings.queue_name}")
        self._holding.reconnected(self._ledger)

    def _lost(self, text: str) -> None:
        if self._ledger:
            self._ledger.link.close()
            self._ledger = None
        self._agenda.disconnected()
        self._echo.disconnected()
        # Their lease can't be renewed now, so they must not go out; they are given back later.
        self._holding.withdraw()
        wait = self._backoff.failed(random.random())
        self._connect_at = time.monotonic() + wait
        log(f"{text}; trying again in {wait:.1f} s")

    def _listen_for_echo(self, now: float, was_deaf: bool) -> None:
        if self._echo.ask_at is not None and now >= self._echo.ask_at and not self._agenda.draining:
            self._call()
        self._echo.listen_in_vain(now)
        if self._echo.deaf == was_deaf:
            return
        self._agenda.deaf(now, self._echo.deaf)
        if self._echo.deaf:
            log(
                "notifications do not arrive, so the ledger is looked at every second; a pooler in transaction mode"
                " drops LISTEN: name the database itself, or a pool in session mode, in MAILROOM_DATABASE_URL"
            )
        else:
            log("notifications arrive again")

    def _call(self) -> None:
        settings = self._settings
        try:
            # Another session: through a pooler, one's own might answer without listening.
            notify(settings.database_url, settings.channel_name, self._echo.payload, _ECHO_PATIENCE)
        except MailroomError as error:
            log(f"whether notifications arrive can't be tested now: {error}")
            self._echo.not_asked(time.monotonic())
        else:
            self._echo.asked(time.monotonic())

    # From announced to written

    def _announced(self, ledger: Ledger) -> None:
        if self._settings.batch_limit == 1:
            self._agenda.draining = True  # one row is a whole batch: don't count, claim
        else:
            self._look(ledger)

    def _look(self, ledger: Ledger) -> None:
        waiting, next_due_ms = ledger.look(self._settings.batch_limit)
        self._agenda.looked(time.monotonic(), waiting, next_due_ms)

    def _may_claim(self, ledger: Ledger) -> bool:
        if not self._outlet.empty or not self._writable:
            return False
        if not self._has_room and self._holding.acknowledged and time.monotonic() >= self._room_at:
            self._holding.extend(ledger)  # tells which of them a sender has begun
            self._room_at = time.monotonic() + self._room.failed(1.0)
        if self._has_room:
            self._room.succeeded()
        return self._has_room

    def _claim(self, ledger: Ledger) -> None:
        asked = self._chunk.rows
        claim = ledger.claim(asked)
        now = time.monotonic()
        self._take(ledger, claim, now)
        if claim.rows == asked:
            self._chunk.kept_up()
            return
        self._agenda.drained()
        self._look(ledger)

    def _take(self, ledger: Ledger, claim: Claim, now: float) -> None:
        for token, reason in claim.stale.items():
            log(f"token {token} is not mailed: {reason}")
        for doubtful in claim.doubts:
            log(f"token {doubtful} is perhaps mailed twice: its last sender was not heard of again")
        if not claim.tokens:
            return
        self._holding.acknowledged = claim.acknowledged
        self._holding.claimed([token.id for token in claim.tokens], now)
        rows, unfit = self._encode(claim.tokens)
        self._outlet.put(lines(rows, self._settings.batch_limit))
        if unfit:
            self._holding.set_aside(ledger, unfit)

    def _encode(self, tokens: list[Token]) -> tuple[list[Row], dict[int, str]]:
        rows: list[Row] = []
        unfit: dict[int, str] = {}
        for token in tokens:
            try:
                rows.append(encode_row(self._settings.secret_key, token))
            except UnfitToken as reason:
                unfit[token.id] = str(reason)
        return rows, unfit

    def _write(self) -> None:
        self._outlet.write()
        self._writable = False
        self._holding.written(time.monotonic())

    # What becomes of what was written

    def _extend(self, ledger: Ledger) -> None:
        """Renew the leases; what the reader left unread that long is given back instead."""
        if self._holding.withdraw():
            self._holding.give_back(ledger)
            self._chunk.stalled()
            self._agenda.draining = True
        self._holding.extend(ledger)

    def _finish(self) -> None:
        """Close stdout, so that the reader sees the end."""
        self._outlet.close()
        if self._ledger:
            try:
                self._holding.finish(self._ledger)
            except ConnectionLost as error:
                log(f"{error}; what was just printed may be printed again")

    def _give_up_reader(self) -> None:
        if not self._ledger:
            return
        try:
            given_back = self._holding.abandon(self._ledger)
        except ConnectionLost as error:
            log(f"{error}; what was claimed comes back when its lease ends")
        else:
            log(f"{given_back} claimed rows are given back")

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
                self._chunk.stalled()
            ready = dict(poll.poll(self._patience()))
        if wakeup.fileno() in ready:
            self._signalled(wakeup)
        out = ready.get(self._outlet.fd, 0)
        if out & _READER_GONE and not (self._stopping and self._outlet.empty):
            raise ReaderGone("the reader of stdout went away")
        self._writable = self._writable or bool(out & select.POLLOUT)

    @property
    def _has_room(self) -> bool:
        return len(self._holding) + self._chunk.rows <= self._most_held

    def _patience(self) -> float:
        """Return how long to wait, in ms."""
        times = [time for time in (self._holding.extend_at, self._holding.glance_at) if time is not None]
        if self._ledger is None:
            times = [] if self._stopping else [self._connect_at]
        elif not self._agenda.draining:
            times += [self._agenda.deadline(), self._echo.deadline()]
        elif not self._has_room:
            times.append(max(self._room_at, time.monotonic() + _ROOM_FIRST))
        elif self._writable:
            times.append(time.monotonic())
        return max(0.0, (min(times) - time.monotonic()) * 1000) if times else -1.0

    def _signalled(self, wakeup: Wakeup) -> None:
        for number in wakeup.signals():
            if number not in (signal.SIGTERM, signal.SIGINT):
                continue
            if self._stopping:
                raise ReaderGone(f"{number.name} again; the line being written is cut short")
            self._stopping = True
            log(f"{number.name}: finishing the line")
