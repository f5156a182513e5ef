"""The sender's connection: a step in progress delays no other step, and each caller gets its own answer."""

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


def test_unread_answer_delays_no_other_step(connection: SharedConnection) -> None:
    """The caller of begin may be busy, for example while it renews credentials. settle runs meanwhile."""
    asked = connection.query_soon("SELECT %s::integer", (1,))
    answers: list[object] = []
    other = threading.Thread(target=lambda: answers.append(connection.query("SELECT %s::integer", (2,))))
    other.start()
    other.join(20)
    assert answers == [[(2,)]]
    assert asked() == [(1,)]


def test_step_started_during_another_runs_when_its_answer_is_needed(connection: SharedConnection) -> None:
    """In any order of calls, each caller gets its own answer."""
    first, second = connection.query_soon("SELECT 1", ()), connection.query_soon("SELECT 2", ())
    assert second() == [(2,)]
    assert first() == [(1,)]
    assert second() == [(2,)]


def test_answer_lost_with_its_connection_is_requested_again(connection: SharedConnection, database: Database) -> None:
    """The step may be repeated. The next user of the connection notices the loss."""
    asked = connection.query_soon("SELECT pg_backend_pid(), pg_sleep(0.2)", ())
    backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailroom-send'"
    assert database.run(backends) == [(True,)]
    assert connection.query("SELECT 2", ()) == [(2,)]
    assert len(asked()) == 1


def test_parameter_that_cannot_be_sent_leaves_the_connection_usable(connection: SharedConnection) -> None:
    """An exception leaves no lock behind."""
    with pytest.raises(UnicodeEncodeError):
        connection.query_soon("SELECT %s", ("\ud800",))
    assert connection.query("SELECT 2", ()) == [(2,)]


def test_stopping_sender_retries_for_the_grace_period(database: Database, capfd: pytest.CaptureFixture[str]) -> None:
    """It tries to record outcomes for five seconds. After that, the lease decides."""
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
