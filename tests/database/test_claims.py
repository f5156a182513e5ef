"""When the collector claims no more, each reason alone; and what it does with what it has claimed.

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
    """All that claims, signs, prints and records, without the loop around it."""

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
        """Hold tokens that are written."""
        self.leases.claimed(tokens)
        for place in (TokenPlace.WAITING, TokenPlace.WRITTEN):
            self.output.places.move(tokens, place)

    def put(self, token: int) -> None:
        """Let a line wait to be written."""
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


def test_collector_that_holds_nothing_claims(parts: Parts) -> None:
    """Nothing is in the way."""
    assert parts.may_claim


def test_line_that_is_not_written_yet_stops_claims(parts: Parts) -> None:
    """What the reader did not take is not joined by more, though the pipe has room."""
    parts.put(1)
    assert not parts.may_claim
    parts.write()
    parts.output.is_writable = True
    assert parts.may_claim


def test_pipe_that_was_not_seen_to_have_room_stops_claims(parts: Parts) -> None:
    """Nothing waits to be written, but what is claimed could not be."""
    parts.output.is_writable = False
    assert not parts.may_claim


def test_held_rows_stop_claims(parts: Parts) -> None:
    """As many as are held at most, though all of them are written."""
    parts.hold(range(FULL - 10))
    assert parts.may_claim
    parts.hold(range(FULL, FULL + 1))
    assert not parts.may_claim


def test_rows_that_a_sender_has_begun_are_not_held(parts: Parts, database: Database) -> None:
    """Where senders acknowledge, the ledger is asked which of them they have begun; the others stay."""
    database.sign_up("ann")
    (token,) = Steps(database.connection, HOLDER).claim()
    parts.hold(range(token, token + FULL))
    assert not parts.may_claim
    parts.leases.acknowledged = True
    assert parts.may_claim
    assert parts.output.places.all() == [token]


def test_ledger_is_asked_for_room_less_and_less_often(parts: Parts, database: Database) -> None:
    """5 ms after the first time, then 10 ms; each time the leases are extended."""
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
    """Claimed, waiting to be written, written, read, recorded: the ledger has it as emitted, and nothing is held."""
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
    """Its answer stays unread until then; when no claim can follow, it is printed all the same."""
    database.sign_up_many(25)
    assert parts.claims.claim(parts.ledger) == (True, False)
    assert (parts.claims.unread, parts.claims.held) == (10, 0)
    parts.claims.print_and_record(parts.ledger)
    assert (parts.claims.unread, len(parts.at(TokenPlace.WAITING))) == (0, 10)
    assert parts.claims.claim(parts.ledger) == (True, False)  # 15 of 20, behind the first ten
    assert len(parts.at(TokenPlace.WAITING)) == 25
    assert parts.claims.claim(parts.ledger) == (False, True)


def test_row_that_can_not_be_signed_is_rejected(parts: Parts, database: Database) -> None:
    """It is told to the ledger with the reason, and the others are printed."""
    database.sign_up("ann", "ben")
    database.run("UPDATE tokens SET secret = 'x' WHERE account = (SELECT id FROM accounts WHERE login = 'ann')")
    parts.claims.claim(parts.ledger)
    assert database.run("SELECT error FROM deliveries WHERE state = 'failed'") == [("its secret is 1 byte, not 32",)]
    assert (len(parts.at(TokenPlace.WAITING)), parts.claims.held, parts.claims.totals.rejected) == (1, 1, 1)


def test_what_the_ledger_was_not_told_is_told_later(parts: Parts, database: Database) -> None:
    """A connection that is lost first forgets neither what was read nor what is to be released."""
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


def test_row_that_is_claimed_anew_is_where_its_new_line_is(parts: Parts, database: Database) -> None:
    """Its lease ran out while its line lay in the pipe: that the old line is read says nothing of the new one."""
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
def test_chunk_that_is_claimed_anew_before_it_was_read_is_printed_once(
    parts: Parts, database: Database, is_unknown: bool
) -> None:
    """A process that stood still for a lease claims the same rows again; what they were at first counts no more."""
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
    parts.clock.now += 2.0  # so that the scan begins at the start
    parts.claims.claim(parts.ledger)
    while not parts.output.empty:
        parts.write()
    assert (len(parts.at(TokenPlace.WRITTEN)), parts.claims.held) == (10, 10)
    assert database.states() == {"claimed": 10}
    if is_unknown:
        assert parts.read().count(b"@") == 10


def test_reader_that_takes_nothing_gets_no_more_leases(parts: Parts, database: Database) -> None:
    """When the leases are to be extended, what could not be written is released; half as much is claimed then."""
    database.sign_up_many(10)
    parts.claims.claim(parts.ledger)
    parts.claims.print_and_record(parts.ledger)
    assert parts.claims.is_extension_due() is False
    parts.clock.now += LEASE_MS / 3000
    assert parts.claims.is_extension_due()
    parts.output.is_writable = False
    assert parts.claims.extend(parts.ledger)
    assert (database.states(), parts.claims.held, parts.drain.chunk.rows) == ({"pending": 10}, 0, 10)


def test_paused_queue_gets_back_what_no_sender_has_begun(parts: Parts, database: Database) -> None:
    """Where senders acknowledge, also what is in the pipe; where they don't, that stays with its reader."""
    database.sign_up("ann")
    parts.claims.claim(parts.ledger)
    parts.write()
    parts.claims.pause(parts.ledger)
    assert database.states() == {"claimed": 1}
    parts.leases.acknowledged = True
    parts.claims.pause(parts.ledger)
    assert (database.states(), parts.claims.held, parts.leases.extend_at) == ({"pending": 1}, 0, None)


def test_reader_that_is_gone_leaves_nothing_claimed(parts: Parts, database: Database) -> None:
    """What it took is recorded as emitted; what it did not take is due again at once."""
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


def test_end_records_what_is_written_as_read(parts: Parts, database: Database) -> None:
    """The reader lives, so it will take what is in the pipe."""
    database.sign_up("ann")
    parts.claims.claim(parts.ledger)
    parts.write()
    parts.claims.finish(parts.ledger)
    assert database.states() == {"emitted": 1}


def test_second_connection_records_while_the_first_claims(parts: Parts, database: Database) -> None:
    """It is opened once chunks are as large as they get; without it, the first connection records what was read."""
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
