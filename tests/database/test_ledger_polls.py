"""When the ledger is polled, and what notifications do. The sessions are real, and the test moves the clock."""

from collections.abc import Callable, Iterable, Iterator

import pytest

from mailroom_collector.ledger.connection import notify
from mailroom_collector.ledger.session import LedgerAddress
from mailroom_collector.schedule.claim_timer import ClaimTimer
from mailroom_collector.schedule.ledger_polls import LedgerPolls
from mailroom_collector.schedule.listen_check import ListenCheck
from mailroom_collector.schedule.notifications import Notifications
from mailroom_collector.schedule.pause import Pause
from mailroom_runtime.errors import ConnectionLost
from tests.support.clock import Clock
from tests.support.ledger import Steps
from tests.support.postgres import Database
from tests.support.waiting import until

HOLDER = "collect:here:1:0"


class Parts:
    """The parts that decide when to claim, without the claim. A batch is ten rows or five seconds."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock(100.0)
        self.fails = False
        self.url = database.url
        self.ledger = LedgerAddress(database.url, ("token_insert",), "mailroom", HOLDER, 30_000, 30.0).listen()
        self.notifications = Notifications(
            ListenCheck(60.0, HOLDER, ("token_insert",)), self.send, self.clock, lambda: 1.0
        )
        self.timer = ClaimTimer(10, 5.0, 30.0)
        self.polls = LedgerPolls(self.timer, self.notifications, Pause("mailroom"), self.clock)

    def send(self, calls: Iterable[tuple[str, str]]) -> None:
        if self.fails:
            raise ConnectionLost("no")
        notify(self.url, calls, 5.0)

    def drained(self) -> None:
        """Be connected and idle: the test of notifications has ended and nothing is due."""
        self.polls.connected()
        self.polls.drained()
        self.polls.count_after_drain(self.ledger, found_rows=False)
        self.polls.read_state(self.ledger)
        self.polls.poll(self.ledger)
        until(lambda: self.polls.has_notifications(self.ledger), "the echo")
        self.polls.poll(self.ledger)

    def poll_until(self, condition: Callable[[], object], what: str) -> None:
        """Read notifications until the condition holds, while the clock stands still."""

        def poll() -> object:
            self.polls.poll(self.ledger)
            return condition()

        until(poll, what)


@pytest.fixture
def parts(database: Database) -> Iterator[Parts]:
    parts = Parts(database)
    yield parts
    parts.ledger.link.close()


def test_announced_row_begins_a_batch_and_the_tenth_ends_it(parts: Parts, database: Database) -> None:
    """The first row waits for the batch timeout. A full line does not wait."""
    parts.drained()
    assert parts.timer.deadline() == 130.0
    database.sign_up("ann")
    parts.poll_until(lambda: parts.timer.deadline() == 105.0, "the batch timeout runs")
    assert not parts.timer.draining
    database.sign_up_many(9)
    parts.poll_until(lambda: parts.timer.draining, "the batch is full")


def test_line_of_one_row_is_not_counted(parts: Parts, database: Database) -> None:
    """A batch is one row, so it is claimed at once, without a count."""
    parts.drained()
    parts.timer.batch_limit = 1
    database.sign_up("ann")
    parts.poll_until(lambda: parts.timer.draining, "it is time to claim")


def test_own_notifications_announce_nothing(parts: Parts) -> None:
    """A session that polls fast ignores the notifications that it sends itself."""
    parts.drained()
    parts.ledger.notify_others()
    assert not parts.polls.has_notifications(parts.ledger)


def test_rows_are_counted_5_ms_after_a_mail(parts: Parts, database: Database) -> None:
    """The sender gets the processor first. After the count the time of the next row is known."""
    parts.drained()
    database.sign_up("ann")
    database.run("UPDATE deliveries SET due_at = now() + interval '2 s'")
    parts.ledger.link.take_notifications()
    parts.polls.count_after_drain(parts.ledger, found_rows=True)
    assert parts.polls.deadline() == 100.005
    parts.clock.now = 100.005
    parts.polls.poll(parts.ledger)
    assert 101.0 < parts.timer.deadline() < 102.006


def test_many_notifications_start_fast_polling_and_silence_ends_it(parts: Parts, database: Database) -> None:
    """After 25 of them inserts skip NOTIFY, and the ledger is polled every 20 ms.

    A quarter of a second without a row ends it.
    """
    parts.drained()
    steps = Steps(database.connection)
    for number in range(30):
        database.sign_up(f"u{number}")
    parts.poll_until(lambda: parts.notifications.are_skipped, "fast polling")
    assert steps.another_polls_fast()
    parts.polls.drained()
    parts.poll_until(lambda: not parts.polls.has_notifications(parts.ledger), "nothing is announced")
    database.sign_up("unannounced")
    assert not parts.polls.has_notifications(parts.ledger)
    assert parts.polls.deadline() == 100.02
    parts.polls.drained()
    parts.clock.now = 100.02
    parts.polls.poll(parts.ledger)
    assert parts.timer.draining  # 31 rows wait
    parts.polls.drained()
    parts.clock.now = 101.0
    parts.polls.poll(parts.ledger)
    assert not parts.notifications.are_skipped
    assert not steps.another_polls_fast()


def test_queue_state_is_read_every_five_seconds_and_soon_after_a_notification(parts: Parts, database: Database) -> None:
    """Pause and resume notify. Other notifications cause at most one read per second."""
    parts.drained()
    parts.clock.now = 200.0
    assert parts.polls.read_state(parts.ledger) is None
    database.run("SELECT mailroom_pause('mailroom', 'a copy')")
    parts.clock.now = 204.9
    assert parts.polls.read_state(parts.ledger) is None
    parts.clock.now = 205.0
    change = parts.polls.read_state(parts.ledger)
    assert change is not None
    assert (change.is_paused, change.reason) == (True, "a copy")
    parts.polls.drained()
    database.run("SELECT mailroom_resume('mailroom')")
    parts.poll_until(lambda: parts.polls.deadline() <= 206.0, "the notification of resume")
    parts.clock.now = 205.9
    assert parts.polls.read_state(parts.ledger) is None
    parts.clock.now = 206.0
    change = parts.polls.read_state(parts.ledger)
    assert change is not None
    assert not change.is_paused
    assert parts.timer.draining


def test_missing_echo_causes_a_poll_every_second(parts: Parts, capfd: pytest.CaptureFixture[str]) -> None:
    """This begins five seconds after the test. The log says so once, and once when notifications arrive again."""
    parts.drained()
    parts.ledger.link.connection.execute("UNLISTEN token_insert")
    parts.clock.now = 160.0
    parts.polls.poll(parts.ledger)
    parts.polls.drained()
    parts.clock.now = 165.0
    parts.polls.poll(parts.ledger)
    assert parts.timer.deadline() <= 166.0
    parts.ledger.link.connection.execute("LISTEN token_insert")
    parts.clock.now = 220.0
    parts.polls.drained()
    parts.poll_until(lambda: not parts.notifications.are_missing, "the echo")
    said = capfd.readouterr().err
    assert said.count("notifications do not arrive, so the ledger is polled every second") == 1
    assert said.count("notifications arrive again") == 1


def test_failed_test_of_notifications_is_repeated_later(parts: Parts, capfd: pytest.CaptureFixture[str]) -> None:
    """It proves nothing, so notifications do not count as missing."""
    parts.fails = True
    parts.polls.connected()
    parts.polls.drained()
    parts.polls.poll(parts.ledger)
    assert "the test whether notifications arrive failed, and is repeated later: no" in capfd.readouterr().err
    parts.clock.now = 159.0
    parts.polls.poll(parts.ledger)
    assert not parts.notifications.are_missing
    assert parts.notifications.deadline() == 160.0


def test_without_a_connection_nothing_is_due(parts: Parts) -> None:
    """The next connection does not use earlier counts and notifications."""
    parts.drained()
    parts.polls.disconnected()
    assert parts.notifications.deadline() == float("inf")
    assert not parts.timer.draining
