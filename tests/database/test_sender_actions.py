"""A running sender reads the actions again over its existing connection."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from mailroom_sender.input.action import KnownActions
from mailroom_sender.input.row import UnknownRow
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.ledger.session import DatabaseSession
from mailroom_sender.ledger.shared_connection import SharedConnection
from tests.support.ledger import add_invitation
from tests.support.postgres import Database
from tests.support.sender_parts import ACKNOWLEDGES
from tests.support.waiting import until

ROW = UnknownRow("3", b"3,...")


@pytest.fixture
def known() -> KnownActions:
    return KnownActions()


@pytest.fixture
def connection(database: Database, known: KnownActions) -> Iterator[SharedConnection]:
    connection = SharedConnection(DatabaseSession(database.url, ACKNOWLEDGES, 30.0, known))
    connection.open()
    yield connection
    connection.close()


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def poll(unknown: UnknownActions, pool: Executor, now: float) -> list[UnknownRow]:
    """Poll at a time, and return the rows for which the database has answered."""
    ended: list[bool] = []
    unknown.poll(pool, now, lambda: ended.append(True), is_busy=False)
    until(lambda: ended, "the question is over")
    return unknown.poll(pool, now, lambda: None, is_busy=False)


def test_action_that_is_added_is_known_once_a_row_of_it_comes(
    database: Database, known: KnownActions, connection: SharedConnection, pool: Executor
) -> None:
    """The row is returned, to be decoded again."""
    unknown = UnknownActions(known, connection.read_actions)
    assert list(unknown.known) == ["1", "2"]
    add_invitation(database)
    unknown.put(ROW)
    assert poll(unknown, pool, 100.0) == [ROW]
    assert unknown.known["3"].name == "invitation"


def test_lost_connection_keeps_rows_and_actions(
    database: Database,
    known: KnownActions,
    connection: SharedConnection,
    pool: Executor,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Reading the actions opens no connection. begin and settle open one, and the question is repeated."""
    unknown = UnknownActions(known, connection.read_actions)
    unknown.put(ROW)
    add_invitation(database)
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailroom-send'")
    assert poll(unknown, pool, 100.0) == []
    assert (len(unknown), list(known.by_number)) == (1, ["1", "2"])
    assert "the actions can't be read from the database now: " in capfd.readouterr().err
    assert connection.query("SELECT 1", ()) == [(1,)]
    assert list(known.by_number) == ["1", "2", "3"]  # a new connection reads them too
    assert poll(unknown, pool, 102.0) == [ROW]
