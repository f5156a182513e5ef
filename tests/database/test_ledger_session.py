"""The session with the ledger: when it connects again and when it gives up. The test moves its clock."""

from collections.abc import Iterator

import pytest

from mailroom_collector.ledger.session import LedgerAddress, LedgerSession
from mailroom_runtime.errors import ConnectionLost, OperatorNeeded, StatementRefused
from tests.support.clock import Clock
from tests.support.postgres import Database

LOST = ConnectionLost("the server is gone")


@pytest.fixture
def clock() -> Clock:
    return Clock(50.0)


@pytest.fixture
def session(database: Database, clock: Clock) -> Iterator[LedgerSession]:
    address = LedgerAddress(database.url, ("own", "token_insert"), "mailroom", "me", 30_000, 5.0)
    session = LedgerSession(address, clock, lambda: 1.0)
    yield session
    session.close()


def test_connection_listens_on_all_channels(
    session: LedgerSession, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """It listens on the configured channel and on the ledger's own. The log names both, and the queue."""
    ledger = session.connect()
    assert session.ledger is ledger
    channels = ledger.link.connection.execute("SELECT pg_listening_channels()").fetchall()
    assert sorted(channels) == [("own",), ("token_insert",)]
    assert "listening on own and token_insert, queue mailroom" in capfd.readouterr().err
    assert database.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mailroom-collect'") == 1


def test_lost_connection_is_made_again_with_backoff(
    session: LedgerSession, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """It waits 100 ms, 200 ms and so on up to 30 s. A claim that worked resets this."""
    waits = []
    for _ in range(10):
        session.lost(LOST)
        waits.append(round(session.connect_at - clock.now, 3))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    session.connect()
    session.lost(LOST)
    assert (session.ledger, session.connect_at) == (None, 80.0)
    session.worked()
    session.lost(LOST)
    assert session.connect_at == 50.1
    assert "the server is gone; trying again in 25.6 s" in capfd.readouterr().err


@pytest.mark.parametrize("error", [OperatorNeeded("no such queue"), StatementRefused("42P01 no such table")])
def test_configuration_error_ends_it_unless_it_has_worked(
    session: LedgerSession, error: OperatorNeeded | StatementRefused
) -> None:
    """At the start an operator is there. Later the program waits until the change is undone."""
    with pytest.raises(type(error)):
        session.lost(error)
    session.worked()
    session.lost(error)
    assert session.connect_at > 50.0


def test_second_connection_is_not_needed(session: LedgerSession, capfd: pytest.CaptureFixture[str]) -> None:
    """It does not listen. If it can't be opened or fails, the first one continues, and the log says so."""
    first = session.connect()
    session.open_second()
    assert session.second is not None
    assert session.second.link.connection.execute("SELECT pg_listening_channels()").fetchall() == []
    session.lost_second(LOST)
    assert session.second is None
    session._address = LedgerAddress("host=/nowhere", ("own",), "mailroom", "me", 30_000, 5.0)
    session.open_second()
    assert (session.second, session.ledger) == (None, first)
    assert first.count_due(1).waiting == 0
    said = capfd.readouterr().err
    assert "the second connection failed: the server is gone; the first connection does all the work" in said
    assert "the second connection can't be opened: " in said
