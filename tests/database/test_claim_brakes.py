"""When the collector claims no more: each reason alone."""

import os
from collections.abc import Iterator

import pytest

from mailroom_collector.collector import Collector
from mailroom_collector.ledger.connection import listen
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.settings import CollectorSettings
from mailroom_collector.sign.line import OutputLine
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from tests.support.ledger import Steps
from tests.support.postgres import Database

HOLDER = "collect:here:1:0"
FULL = 4500


class Parts:
    """A collector that is not run, with a pipe that takes lines, room, and a ledger to ask."""

    def __init__(self, database: Database) -> None:
        url = DatabaseUrl(None, {"MAILROOM_DATABASE_URL": database.url})
        self.settings = CollectorSettings(url, bytes(32), "token_insert", "mailroom", 270_000, 5000, 10, 30_000)
        self.reader, self.writer = os.pipe()
        self.outlet = LineOutput(self.writer)
        notifier = Notifier({})
        self.collector = Collector(self.settings, self.outlet, notifier, Watchdog(60.0, notifier, log))
        self.collector._writable = True
        link = listen(url, "token_insert", "mailroom", 30.0, on_notice=log)
        self.ledger = CollectorLedger(link, "mailroom", HOLDER, 30_000)

    @property
    def claims(self) -> bool:
        return self.collector._may_claim(self.ledger)

    def close(self) -> None:
        self.ledger.link.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def parts(database: Database) -> Iterator[Parts]:
    parts = Parts(database)
    yield parts
    parts.close()


def test_collector_with_nothing_in_hand_claims(parts: Parts) -> None:
    """No brake is on."""
    assert parts.claims


def test_line_that_is_not_written_yet_brakes(parts: Parts) -> None:
    """What the reader did not take is not joined by more, though the pipe has room."""
    parts.outlet.put([OutputLine(b"x\n", (1,))])
    assert not parts.claims
    parts.outlet.write()
    assert parts.claims


def test_pipe_that_was_not_seen_to_have_room_brakes(parts: Parts) -> None:
    """Nothing waits to be written, but what is claimed could not be."""
    parts.collector._writable = False
    assert not parts.claims


def test_rows_in_hand_brake(parts: Parts) -> None:
    """As many as are held at most, though all of them are written."""
    parts.collector._holding.claimed(range(FULL - 10), 0.0)
    assert parts.claims
    parts.collector._holding.claimed([FULL], 0.0)
    assert not parts.claims


def test_rows_that_a_sender_begun_are_not_in_hand(parts: Parts, database: Database) -> None:
    """Where a sender acknowledges, the ledger is asked which of them it has begun; the others stay."""
    database.sign_up("ann")
    (token,) = Steps(database.connection, HOLDER).claim()
    holding = parts.collector._holding
    holding.claimed(range(token, token + FULL), 0.0)
    assert not parts.claims
    holding.acknowledged = True
    assert parts.claims
    assert len(holding) == 1


def test_loop_heeds_the_brakes(parts: Parts, database: Database) -> None:
    """Though it is time to claim, a turn claims nothing until the brake is off."""
    database.sign_up("ann")
    parts.collector._agenda.connected(0.0)
    parts.outlet.put([OutputLine(b"x\n", (1,))])
    parts.collector._work(parts.ledger)
    assert database.states() == {"pending": 1}
    parts.outlet.write()
    parts.collector._work(parts.ledger)
    assert database.states() == {"claimed": 1}
