"""The rounds of the collector's loop, with all its real parts and a clock that the test moves."""

import os
import signal
from collections.abc import Iterator

import pytest

from mailroom_collector.assembly import build_collector
from mailroom_collector.collector import Collector
from mailroom_collector.errors import ReaderGone
from mailroom_collector.log import log
from mailroom_collector.settings import CollectorSettings
from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.process.watchdog import Watchdog
from tests.support.clock import Clock
from tests.support.postgres import Database

ROUNDS = 50
"""More than any wait here needs."""


class Loop:
    """A collector whose stdout is a pipe. Each round takes 10 ms of its clock."""

    def __init__(self, database: Database, queue: str = "mailroom") -> None:
        url = DatabaseUrl(None, {"MAILROOM_DATABASE_URL": database.url})
        settings = CollectorSettings(url, bytes(32), "token_insert", queue, 270_000, 0, 10, 30_000)
        self.clock = Clock(1000.0)
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        notifier = Notifier({})
        watchdog = Watchdog(60.0, notifier, log)
        self.collector: Collector = build_collector(settings, self.writer, notifier, watchdog, self.clock)
        self.printed = b""

    def run(self, wakeup: Wakeup, rounds: int = 1, *, reads: bool = True) -> None:
        for _ in range(rounds):
            self.collector.run_once(wakeup)
            self.clock.now += 0.01
            if reads:
                self.read()

    def read(self) -> None:
        try:
            self.printed += os.read(self.reader, 100_000)
        except BlockingIOError:
            return

    def close(self) -> None:
        self.collector._session.close()
        for fd in (self.reader, self.writer):
            try:
                os.close(fd)
            except OSError:
                continue


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    """Signals as the loop sees them. Afterwards their handlers are restored."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    with Wakeup() as wakeup:
        yield wakeup
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def loop(database: Database) -> Iterator[Loop]:
    loop = Loop(database)
    yield loop
    loop.close()


def until(loop: Loop, wakeup: Wakeup, database: Database, states: dict[str, int], *, reads: bool = True) -> None:
    """Run rounds until the deliveries are in these states."""
    for _ in range(ROUNDS):
        if database.states() == states:
            return
        loop.run(wakeup, reads=reads)
    assert database.states() == states


def test_waiting_row_is_printed_and_recorded(loop: Loop, wakeup: Wakeup, database: Database) -> None:
    """The first round connects. The last one records in the ledger that the reader took the row."""
    database.sign_up("ann")
    until(loop, wakeup, database, {"emitted": 1})
    assert loop.printed.count(b"ann@example.com") == 1


def test_row_that_comes_later_ends_the_wait(loop: Loop, wakeup: Wakeup, database: Database) -> None:
    """The poll sees the notification, even if its deadline is far away."""
    loop.run(wakeup, 5)
    database.sign_up("ben")
    until(loop, wakeup, database, {"emitted": 1})


def test_full_pipe_stops_claims(loop: Loop, wakeup: Wakeup, database: Database) -> None:
    """The reader takes nothing and a line does not fit into the pipe, so no row is claimed."""
    os.set_blocking(loop.writer, False)
    filler = b"x" * 4096
    try:
        while True:
            os.write(loop.writer, filler)
    except BlockingIOError:
        os.set_blocking(loop.writer, True)
    database.sign_up("ann")
    for _ in range(5):
        loop.collector._session.ledger or loop.collector._connect()
        ledger = loop.collector._session.ledger
        assert ledger is not None
        loop.collector.work(ledger)
    assert database.states() == {"pending": 1}
    loop.printed = os.read(loop.reader, 1_000_000)
    until(loop, wakeup, database, {"emitted": 1})


def test_lost_connection_is_made_again_after_its_backoff(
    loop: Loop, wakeup: Wakeup, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is not made earlier. Rows that arrived meanwhile are then printed."""
    database.sign_up("ann")
    until(loop, wakeup, database, {"emitted": 1})
    session = loop.collector._session
    assert session.ledger is not None
    session.ledger.link.connection.pgconn.finish()
    database.sign_up("ben")
    loop.clock.now += 10.0  # reads the queue's state
    loop.run(wakeup)
    assert session.ledger is None
    assert session.connect_at > loop.clock.now - 0.01
    until(loop, wakeup, database, {"emitted": 2})
    assert loop.printed.count(b"ben@example.com") == 1
    assert "trying again in 0." in capfd.readouterr().err


def test_late_mails_of_a_backlog_are_logged(
    loop: Loop, wakeup: Wakeup, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """After 30 seconds it asks on a connection of its own. Its reader takes nothing, so nothing is sent in time."""
    database.sign_up_many(3000)
    loop.run(wakeup, 20, reads=False)
    database.run("UPDATE deliveries SET queued_at = queued_at - interval '1 min'")
    for _ in range(ROUNDS):
        loop.clock.now += 1.0
        loop.run(wakeup, reads=False)
    said = capfd.readouterr().err
    assert "Nothing was sent in the last 30 s; if that goes on, 3,000 of 3,000 waiting mails expire before" in said
    assert said.count("expire before their turn") == 1


def test_unknown_queue_ends_the_collector(database: Database, wakeup: Wakeup) -> None:
    """Nothing has worked yet, so an operator must fix the configuration."""
    loop = Loop(database, "mialroom")
    try:
        with pytest.raises(OperatorNeeded, match="MAILROOM_QUEUE_NAME"):
            loop.run(wakeup)
    finally:
        loop.close()


def test_closed_reader_ends_the_collector(loop: Loop, wakeup: Wakeup, database: Database) -> None:
    """Rows that it did not take are due again."""
    database.sign_up("ann")
    until(loop, wakeup, database, {"claimed": 1}, reads=False)
    os.close(loop.reader)
    with pytest.raises(ReaderGone, match="the reader of stdout went away"):
        loop.run(wakeup, ROUNDS, reads=False)
    loop.collector._abandon()
    assert database.states() == {"pending": 1}


@pytest.mark.usefixtures("wakeup")
def test_signal_ends_the_collector_and_written_rows_count_as_read(
    loop: Loop, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """run() returns, stdout is closed, and no row stays claimed."""
    database.sign_up("ann")
    at_work = loop.collector.work

    def work_and_signal(ledger: object) -> None:
        at_work(ledger)  # type: ignore[arg-type]
        if loop.collector._claims.totals.rows:
            os.kill(os.getpid(), signal.SIGTERM)

    loop.collector.work = work_and_signal  # type: ignore[method-assign]
    loop.collector.run()
    loop.read()
    assert loop.printed.count(b"ann@example.com") == 1
    assert database.states() == {"emitted": 1}
    assert "SIGTERM: finishing the line, then ending" in capfd.readouterr().err


def test_end_releases_rows_of_an_unread_answer(loop: Loop, wakeup: Wakeup, database: Database) -> None:
    """A signal arrives during a claim while no line waits. Its rows are due again at once."""
    database.sign_up_many(10)
    for _ in range(ROUNDS):
        if loop.collector._claims.unread:
            break
        loop.run(wakeup)
    assert (loop.collector._claims.unread, loop.collector._claims.output.empty) == (10, True)
    loop.collector._finish()
    assert database.states() == {"pending": 10}
