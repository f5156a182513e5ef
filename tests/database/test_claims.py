"""When the collector stops claiming, one reason at a time, and what it does with claimed rows.

The parts are real: stdout is a pipe, the ledger is PostgreSQL. The clock stands still until a test moves it.
"""

import os
from collections.abc import Iterator

import pytest

from mailroom_collector.claims import Claims
from mailroom_collector.drain import Drain
from mailroom_collector.errors import ReaderGone
from mailroom_collector.ledger.session import LedgerAddress, LedgerSession
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import TokenPlace, TokenPlaces
from mailroom_collector.sign.line import OutputLine
from mailroom_collector.sign.signature import Signer
from mailroom_runtime.errors import MailroomError
from tests.support.clock import Clock
from tests.support.ledger import Steps
from tests.support.postgres import Database

HOLDER = "collect:here:1:0"
FULL = 4500
LEASE_MS = 30_000


class Parts:
    """The parts that claim, sign, print and record, without the loop."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.reader, self.writer = os.pipe()
        self.output = LineOutput(self.writer, TokenPlaces())
        self.output.is_writable = True
        self.leases = Leases(self.output, LEASE_MS, self.clock)
        address = LedgerAddress(database.url, ("token_insert",), "mailroom", HOLDER, LEASE_MS, 30.0)
        self.session = LedgerSession(address, self.clock)
        self.drain = Drain(Signer(bytes(32)), self.output, self.leases, self.session, 10, self.clock)
        self.claims = Claims(self.drain, self.leases, self.output, self.clock)
        self.ledger = self.session.connect()

    @property
    def may_claim(self) -> bool:
        return self.claims.may_claim(self.ledger)

    def at(self, place: TokenPlace) -> list[int]:
        return self.output.places.at(place)

    def hold(self, tokens: range) -> None:
        """Claim tokens whose lines are written."""
        self.leases.claimed(tokens)
        for place in (TokenPlace.WAITING, TokenPlace.WRITTEN):
            self.output.places.move(tokens, place)

    def put(self, token: int) -> None:
        """Queue a line for writing."""
        self.leases.claimed([token])
        self.output.put([OutputLine(b"x\n", (token,), 1)])

    def write(self) -> None:
        self.output.is_writable = True
        self.claims.write()

    def read(self) -> bytes:
        return os.read(self.reader, 100_000)

    def close(self) -> None:
        self.session.close()
        for fd in (self.reader, self.writer):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def parts(database: Database) -> Iterator[Parts]:
    parts = Parts(database)
    yield parts
    parts.close()


# When it claims no more


def test_empty_collector_claims(parts: Parts) -> None:
    """Nothing prevents a claim."""
    assert parts.may_claim


def test_unwritten_line_stops_claims(parts: Parts) -> None:
    """While a line waits to be written, no row is claimed, even if the pipe has room."""
    parts.put(1)
    assert not parts.may_claim
    parts.write()
    parts.output.is_writable = True
    assert parts.may_claim


def test_pipe_without_known_room_stops_claims(parts: Parts) -> None:
    """No line waits, but a claimed row might not fit into the pipe."""
    parts.output.is_writable = False
    assert not parts.may_claim


def test_most_held_rows_stop_claims(parts: Parts) -> None:
    """At the limit of held rows no row is claimed, even if all lines are written."""
    parts.hold(range(FULL - 10))
    assert parts.may_claim
    parts.hold(range(FULL, FULL + 1))
    assert not parts.may_claim


def test_rows_that_a_sender_has_begun_are_not_held(parts: Parts, database: Database) -> None:
    """Where senders acknowledge, the ledger says which rows they have begun. The other rows stay held."""
    database.sign_up("ann")
    (token,) = Steps(database.connection, HOLDER).claim()
    parts.hold(range(token, token + FULL))
    assert not parts.may_claim
    parts.leases.acknowledged = True
    assert parts.may_claim
    assert parts.output.places.all() == [token]


def test_ledger_is_asked_for_room_less_and_less_often(parts: Parts, database: Database) -> None:
    """It waits 5 ms, then 10 ms, and so on. Each question also extends the leases."""
    database.sign_up_many(FULL)
    tokens = Steps(database.connection, HOLDER).claim(FULL)
    parts.hold(range(tokens[0], tokens[0] + FULL))
    parts.leases.acknowledged = True
    extended = []
    for ms in range(16):
        parts.clock.now = ms / 1000
        assert not parts.may_claim
        if parts.leases.extend_at == parts.clock.now + LEASE_MS / 3000:
            extended.append(ms)
    assert extended == [0, 5, 15]


# What becomes of what it claimed


def test_row_passes_from_place_to_place(parts: Parts, database: Database) -> None:
    """It is claimed, queued, written, read and recorded.

    Then the ledger has it as emitted, and the collector holds nothing.
    """
    database.sign_up("ann")
    assert parts.claims.claim(parts.ledger) == (True, True)
    (token,) = parts.at(TokenPlace.WAITING)
    parts.write()
    assert parts.at(TokenPlace.WRITTEN) == [token]
    parts.claims.print_and_record(parts.ledger)
    assert database.states() == {"claimed": 1}
    assert b"ann@example.com" in parts.read()
    parts.clock.now += 0.005
    parts.claims.print_and_record(parts.ledger)
    assert (database.states(), parts.claims.held) == ({"emitted": 1}, 0)


def test_full_chunk_is_signed_while_the_next_is_claimed(parts: Parts, database: Database) -> None:
    """The answer to the next claim stays unread meanwhile. If no claim can follow, the chunk is printed at once."""
    database.sign_up_many(25)
    assert parts.claims.claim(parts.ledger) == (True, False)
    assert (parts.claims.unread, parts.claims.held) == (10, 0)
    parts.claims.print_and_record(parts.ledger)
    assert (parts.claims.unread, len(parts.at(TokenPlace.WAITING))) == (0, 10)
    assert parts.claims.claim(parts.ledger) == (True, False)  # 15 of 20, behind the first ten
    assert len(parts.at(TokenPlace.WAITING)) == 25
    assert parts.claims.claim(parts.ledger) == (False, True)


def test_row_that_cannot_be_signed_is_rejected(parts: Parts, database: Database) -> None:
    """The ledger records the reason, and the other rows are printed."""
    database.sign_up("ann", "ben")
    database.run("UPDATE tokens SET secret = 'x' WHERE account = (SELECT id FROM accounts WHERE login = 'ann')")
    parts.claims.claim(parts.ledger)
    assert database.run("SELECT error FROM deliveries WHERE state = 'failed'") == [("its secret is 1 byte, not 32",)]
    assert (len(parts.at(TokenPlace.WAITING)), parts.claims.held, parts.claims.totals.rejected) == (1, 1, 1)


def test_lost_connection_loses_no_record(parts: Parts, database: Database) -> None:
    """The next connection records the rows that were read, and releases the rows to be released."""
    database.sign_up_many(20)
    parts.claims.claim(parts.ledger)
    parts.claims.print_and_record(parts.ledger)
    parts.write()
    parts.claims.claim(parts.ledger)  # ten more, which wait
    assert parts.read().count(b"\n") == 1
    parts.ledger.link.close()
    parts.clock.now += 1.0
    with pytest.raises(MailroomError):
        parts.claims.print_and_record(parts.ledger)
    parts.claims.withdraw()
    assert (len(parts.at(TokenPlace.READ)), len(parts.at(TokenPlace.TO_RELEASE))) == (10, 10)
    parts.claims.connected(parts.session.connect())
    assert (database.states(), parts.claims.held) == ({"emitted": 10, "pending": 10}, 0)


def test_reclaimed_row_belongs_to_its_new_line(parts: Parts, database: Database) -> None:
    """Its lease expired while its line was in the pipe. Reading the old line says nothing about the new one."""
    database.sign_up("ann")
    parts.claims.claim(parts.ledger)
    parts.write()
    database.run("UPDATE deliveries SET due_at = now() - interval '1 s'")
    parts.claims.claim(parts.ledger)
    (token,) = parts.at(TokenPlace.WAITING)
    assert parts.read().count(b"\n") == 1
    parts.clock.now += 1.0
    parts.claims.print_and_record(parts.ledger)
    assert parts.at(TokenPlace.WAITING) == [token]
    assert database.states() == {"claimed": 1}


@pytest.mark.parametrize("is_unknown", [True, False], ids=["unknown action", "unfit"])
def test_chunk_claimed_twice_before_it_was_read_is_printed_once(
    parts: Parts, database: Database, is_unknown: bool
) -> None:
    """A process stopped for longer than a lease claims the same rows again. Only the second claim counts."""
    database.sign_up_many(10)
    (secret,) = database.run("SELECT secret FROM tokens ORDER BY id LIMIT 1")[0]
    if is_unknown:
        parts.drain._signer.set_actions([])
    else:
        database.run("UPDATE tokens SET secret = 'x' WHERE secret = %s", secret)
    assert parts.claims.claim(parts.ledger) == (True, False)
    if not is_unknown:
        database.run("UPDATE tokens SET secret = %s WHERE secret = 'x'", secret)
    database.run("UPDATE deliveries SET due_at = now() - interval '1 s'")
    parts.clock.now += 2.0  # the scan then begins at the start
    parts.claims.claim(parts.ledger)
    while not parts.output.empty:
        parts.write()
    assert (len(parts.at(TokenPlace.WRITTEN)), parts.claims.held) == (10, 10)
    assert database.states() == {"claimed": 10}
    if is_unknown:
        assert parts.read().count(b"@") == 10


def test_blocked_reader_gets_no_more_leases(parts: Parts, database: Database) -> None:
    """When the leases must be extended, unwritten rows are released. After that, chunks are half as large."""
    database.sign_up_many(10)
    parts.claims.claim(parts.ledger)
    parts.claims.print_and_record(parts.ledger)
    assert parts.claims.is_extension_due() is False
    parts.clock.now += LEASE_MS / 3000
    assert parts.claims.is_extension_due()
    parts.output.is_writable = False
    assert parts.claims.extend(parts.ledger)
    assert (database.states(), parts.claims.held, parts.drain.chunk.rows) == ({"pending": 10}, 0, 10)


def test_paused_queue_gets_back_rows_that_no_sender_began(parts: Parts, database: Database) -> None:
    """Where senders acknowledge, rows in the pipe are released too. Elsewhere they stay with their reader."""
    database.sign_up("ann")
    parts.claims.claim(parts.ledger)
    parts.write()
    parts.claims.pause(parts.ledger)
    assert database.states() == {"claimed": 1}
    parts.leases.acknowledged = True
    parts.claims.pause(parts.ledger)
    assert (database.states(), parts.claims.held, parts.leases.extend_at) == ({"pending": 1}, 0, None)


def test_reader_that_is_gone_leaves_nothing_claimed(parts: Parts, database: Database) -> None:
    """Rows that it read are recorded as emitted. The other rows are due again at once."""
    database.sign_up_many(20)
    parts.claims.claim(parts.ledger)
    parts.claims.print_and_record(parts.ledger)
    parts.write()
    assert parts.read().count(b"\n") == 1
    parts.claims.claim(parts.ledger)
    os.close(parts.reader)
    parts.reader = -1
    with pytest.raises(ReaderGone):
        parts.write()
    assert parts.claims.abandon(parts.ledger) == 10
    assert database.states() == {"emitted": 10, "pending": 10}


def test_end_records_written_rows_as_read(parts: Parts, database: Database) -> None:
    """The reader is alive, so it will read the rows that are in the pipe."""
    database.sign_up("ann")
    parts.claims.claim(parts.ledger)
    parts.write()
    parts.claims.finish(parts.ledger)
    assert database.states() == {"emitted": 1}


def test_second_connection_records_while_the_first_claims(parts: Parts, database: Database) -> None:
    """It is opened once chunks have their full size.

    Without it, the first connection records the rows that were read.
    """
    database.sign_up_many(60)
    while parts.drain.chunk.rows < parts.drain.chunk.largest:
        parts.drain.chunk.kept_up()
    parts.hold(range(0))
    parts.claims.claim(parts.ledger)
    assert parts.session.second is not None
    assert isinstance(parts.session.second, CollectorLedger)
    while not parts.output.empty:
        parts.write()
    while parts.output.has_unread:
        parts.read()
        parts.output.note_read()
    parts.session.second.link.close()
    parts.claims.claim(parts.ledger)
    assert parts.session.second is None
    assert len(parts.at(TokenPlace.READ)) == 60
    parts.claims.connected(parts.ledger)
    assert database.states() == {"emitted": 60}
