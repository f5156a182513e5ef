"""The sender's connection: a step in progress holds up no other step, and each answer reaches its asker."""

import threading
from collections.abc import Iterator

import pytest

from mailroom_sender.errors import Stopped
from mailroom_sender.ledger.retry_wait import RetryWait
from mailroom_sender.ledger.session import DatabaseSession
from mailroom_sender.ledger.shared_connection import SharedConnection
from tests.support.postgres import Database
from tests.support.sender_parts import PIDS, Clock, shared_connection


@pytest.fixture
def connection(database: Database) -> Iterator[SharedConnection]:
    connection = shared_connection(database.url, PIDS)
    connection.open()
    yield connection
    connection.close()


def test_answer_that_nobody_fetches_holds_up_no_other_step(connection: SharedConnection) -> None:
    """Who asked may be busy for long, with credentials to be renewed say: settle goes on meanwhile."""
    asked = connection.query_soon("SELECT %s::integer", (1,))
    answers: list[object] = []
    other = threading.Thread(target=lambda: answers.append(connection.query("SELECT %s::integer", (2,))))
    other.start()
    other.join(20)
    assert answers == [[(2,)]]
    assert asked() == [(1,)]


def test_while_one_is_in_progress_another_is_run_when_called_for(connection: SharedConnection) -> None:
    """In whatever order they are called for, each gets its own answer."""
    first, second = connection.query_soon("SELECT 1", ()), connection.query_soon("SELECT 2", ())
    assert second() == [(2,)]
    assert first() == [(1,)]
    assert second() == [(2,)]


def test_answer_that_is_lost_with_its_connection_is_asked_for_again(
    connection: SharedConnection, database: Database
) -> None:
    """The step may be run again; whoever uses the connection first finds out."""
    asked = connection.query_soon("SELECT pg_backend_pid(), pg_sleep(0.2)", ())
    backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailroom-send'"
    assert database.run(backends) == [(True,)]
    assert connection.query("SELECT 2", ()) == [(2,)]
    assert len(asked()) == 1


def test_parameter_that_can_not_be_sent_leaves_the_connection_as_it_was(connection: SharedConnection) -> None:
    """What raises in between takes no lock along."""
    with pytest.raises(UnicodeEncodeError):
        connection.query_soon("SELECT %s", ("\ud800",))
    assert connection.query("SELECT 2", ()) == [(2,)]


def test_sender_that_stops_tries_for_a_grace_period_and_no_longer(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """Outcomes are worth five seconds; then the lease decides."""
    clock = Clock()
    connection = SharedConnection(DatabaseSession(database.url, PIDS, answer_timeout=30.0), RetryWait(clock))
    connection.open()
    connection.stop()
    assert connection.query("SELECT 1", ()) == [(1,)]
    clock.advance(4.5)
    with pytest.raises(Stopped):
        connection.query("SELECT 1 FROM no_such_table", ())
    connection.close()
    assert "no calls are made; trying again in " in capfd.readouterr().err
