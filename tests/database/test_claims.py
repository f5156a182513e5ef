"""When the collector stops claiming, one reason at a time, and what it does with claimed rows.

The parts are real: stdout is a pipe, the ledger is PostgreSQL. The clock stands still until a test moves it.
"""

import os
from collections.abc import Iterator, Sequence

import pytest

from mailroom_collector.claims import Claims
from mailroom_collector.drain import ClaimResult, Drain
from mailroom_collector.errors import ReaderGone
from mailroom_collector.ledger.session import LedgerAddress, LedgerSession
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.outstanding_rows import OutstandingRows
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import TokenPlace, TokenPlaces
from mailroom_collector.sign.line import OutputLine
from mailroom_collector.sign.signature import Signer
from mailroom_runtime.errors import MailroomError
from tests.support.clock import Clock
from tests.support.postgres import Database

HOLDER = "collect:here:1:0"
LINE = 10
"""The batch limit, which is what may be outstanding at the start."""
LEASE_MS = 30_000
CHECK = 0.005
"""Seconds from a claim to the first check of what has left."""


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
        self.drain = Drain(Signer(bytes(32)), self.output, self.leases, self.session, LINE, self.clock)
        self.outstanding = OutstandingRows(LINE)
        self.claims = Claims(self.drain, self.leases, self.output, self.outstanding, self.clock)
        self.ledger = self.session.connect()

    @property
    def may_claim(self) -> bool:
        return self.claims.may_claim(self.ledger)

    def at(self, place: TokenPlace) -> list[int]:
        return self.output.places.at(place)

    def hold(self, tokens: Sequence[int]) -> None:
        """Claim tokens whose line is written."""
        self.leases.claimed(tokens)
        self.output.put([OutputLine(b"x\n", tuple(tokens), len(tokens))])
        self.write()
        self.output.is_writable = True

    def print_acknowledged(self, database: Database, count: int, after: Sequence[int] = ()) -> list[int]:
        """Sign up accounts, and claim and print their tokens for senders that acknowledge. Return the tokens."""
        self.leases.acknowledged = True
        if not after:
            database.run("SELECT mailroom_acknowledge('mailroom')")
        database.sign_up(*(f"u{len(after) + n}" for n in range(count)))
        self.claims.claim(self.ledger)
        self.claims.print_and_record(self.ledger)
        while not self.output.empty:
            self.write()
        self.output.is_writable = True
        return [token for token in self.output.places.all() if token not in after]

    def claim_lines(self) -> ClaimResult:
        """Claim two lines, whether there is room for them or not."""
        return self.drain.claim(self.ledger, 2 * LINE)

    def expect_fast_reader(self) -> None:
        """Let much be outstanding, as when a reader has kept up during a backlog."""
        self.outstanding.claimed(self.clock.now, is_drained=False)
        self.outstanding.target = self.outstanding.most

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


def test_outstanding_rows_stop_claims_until_they_are_read(parts: Parts) -> None:
    """Where no sender acknowledges, a row is outstanding until the reader has read its line."""
    parts.hold(range(6))
    assert (parts.may_claim, parts.claims.room) == (True, 4)
    parts.hold(range(6, LINE))
    assert not parts.may_claim
    parts.read()
    parts.clock.now += 1.0
    assert parts.may_claim


def test_rows_that_a_sender_has_begun_are_not_outstanding(parts: Parts, database: Database) -> None:
    """Where senders acknowledge, the ledger says which rows they have begun. To read a line changes nothing."""
    tokens = parts.print_acknowledged(database, LINE)
    parts.read()
    parts.clock.now += CHECK
    assert not parts.may_claim
    database.run("UPDATE deliveries SET state = 'sending', holder = 'send:1' WHERE token = ANY (%s)", tokens[:6])
    parts.clock.now += 1.0
    assert (parts.may_claim, parts.claims.outstanding) == (True, 4)
    assert parts.output.places.all() == tokens[6:]


def test_ledger_is_asked_what_has_left_less_and_less_often(parts: Parts, database: Database) -> None:
    """It waits 5 ms, then 10 ms, and so on. The question changes nothing in the ledger."""
    parts.print_acknowledged(database, LINE)
    rows = "SELECT token, ctid::text, xmin::text FROM deliveries ORDER BY token"
    before = database.run(rows)
    start, asked = parts.clock.now, []
    for ms in range(40):
        parts.clock.now = start + ms / 1000
        due = parts.outstanding.check_at
        assert not parts.may_claim
        if parts.outstanding.check_at != due:
            asked.append(ms)
    assert asked == [5, 15, 35]
    assert database.run(rows) == before


def test_rows_that_the_sender_holds_back_take_no_room(parts: Parts, database: Database) -> None:
    """It begins rows that were claimed five seconds later, so the earlier ones wait for something of their own."""
    held_back = parts.print_acknowledged(database, 4)
    parts.clock.now += 5.1
    later = parts.print_acknowledged(database, 6, after=held_back)
    begin(parts, database, later)
    assert (parts.may_claim, parts.claims.outstanding, parts.claims.held) == (True, 0, 4)


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
    parts.outstanding.target = 30
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
    parts.claim_lines()  # ten more, which wait
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
    parts.claim_lines()
    while not parts.output.empty:
        parts.write()
    assert (len(parts.at(TokenPlace.WRITTEN)), parts.claims.held) == (10, 10)
    assert database.states() == {"claimed": 10}
    if is_unknown:
        assert parts.read().count(b"@") == 10


def test_unwritten_rows_are_released_when_the_reader_takes_nothing_for_a_second(
    parts: Parts, database: Database
) -> None:
    """They are due again at once, for anybody."""
    database.sign_up_many(10)
    parts.claims.claim(parts.ledger)
    parts.claims.print_and_record(parts.ledger)
    parts.output.is_writable = False
    parts.claims.stalled()
    parts.clock.now += 0.9
    parts.claims.stalled()
    assert not parts.claims.release_stuck(parts.ledger)
    parts.clock.now += 0.1
    assert parts.claims.deadline() <= parts.clock.now
    assert parts.claims.release_stuck(parts.ledger)
    assert (database.states(), parts.claims.held) == ({"pending": 10}, 0)
    assert parts.claims.deadline() > parts.clock.now


def extend(parts: Parts, times: int) -> list[bool]:
    """Extend the leases each time that this is due. Return for each whether rows were released."""
    released = []
    for _ in range(times):
        assert not parts.claims.is_extension_due()
        parts.clock.now += LEASE_MS / 3000
        assert parts.claims.is_extension_due()
        released.append(parts.claims.extend(parts.ledger))
    return released


def begin(parts: Parts, database: Database, tokens: Sequence[int]) -> None:
    """Let a sender begin these rows, and let the collector see it."""
    database.run("UPDATE deliveries SET state = 'sending', holder = 'send:1' WHERE token = ANY (%s)", list(tokens))
    parts.read()
    parts.clock.now += 1.0
    parts.may_claim  # noqa: B018 - the check


def test_rows_that_a_sender_does_not_begin_are_released(parts: Parts, database: Database) -> None:
    """After two thirds of a lease any sender may take them. Until the pipe is empty nothing more is claimed."""
    begun = parts.print_acknowledged(database, 6)
    begin(parts, database, begun)
    held = parts.print_acknowledged(database, 4, after=begun)
    assert extend(parts, 2) == [False, False]
    assert database.states() == {"sending": 6, "claimed": 4}
    parts.clock.now += 0.001
    assert extend(parts, 1) == [True]
    assert (database.states(), parts.claims.held) == ({"sending": 6, "pending": 4}, 0)
    assert not parts.may_claim
    parts.read()
    assert parts.may_claim
    assert database.run("SELECT token FROM mailroom_claim_any('mailroom', 'another', 1000, 10)") == [(t,) for t in held]


def test_rows_of_a_reader_that_never_begins_any_are_kept(
    parts: Parts, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """It mails what it reads without asking, so to print the rows again would mail them again. The log says so once."""
    tokens = parts.print_acknowledged(database, LINE)
    parts.read()
    parts.clock.now += CHECK
    parts.claims.print_and_record(parts.ledger)
    database.run("DELETE FROM tokens WHERE id = %s", tokens[0])  # used, for example
    assert extend(parts, 5) == [False] * 5
    assert database.states() == {"claimed": LINE - 1}
    assert capfd.readouterr().err.count("9 rows were read, and no sender has begun them yet: SES is slow") == 1


def test_rows_count_as_mailed_when_an_operator_says_that_senders_do_not_acknowledge(
    parts: Parts, database: Database
) -> None:
    """The collector learns it although it has no room for a claim that would say so."""
    parts.print_acknowledged(database, LINE)
    parts.read()
    parts.clock.now += CHECK
    parts.claims.print_and_record(parts.ledger)
    extend(parts, 1)
    database.run("UPDATE jobs SET acknowledged_at = NULL")
    extend(parts, 1)
    assert (database.states(), parts.claims.held) == ({"emitted": LINE}, 0)
    assert parts.may_claim


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
    parts.claim_lines()
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
    """It is opened once claims are large.

    Without it, the first connection records the rows that were read.
    """
    database.sign_up_many(60)
    parts.expect_fast_reader()
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
