"""The commands that read the queue repeatedly, on a real database: live status, exporter, test of notifications."""

from collections.abc import Iterator

import psycopg
import pytest
from prometheus_client.registry import CollectorRegistry

from mailroom_collector.operations.metrics.exporter import Exporter
from mailroom_collector.operations.queries.listen_test import ListenTest
from mailroom_collector.operations.queries.live_status import LiveStatus
from mailroom_runtime.errors import MailroomError
from tests.support.ledger import Steps
from tests.support.postgres import Database, Server


class Clock:
    """A clock that advances by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def end_sessions(database: Database) -> None:
    """End the sessions of the commands, as a restart of the server does."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'mailroom-operator'"
    assert database.run(ended)


def settle_one(database: Database) -> None:
    (token,) = database.sign_up("ann")
    steps = Steps(database.connection)
    steps.claim()
    steps.begin([token])
    steps.settle(token, "sent")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(database: Database, clock: Clock) -> Iterator[LiveStatus]:
    live = LiveStatus(database.url, "mailroom", clock=clock)
    yield live
    live.close()


def test_listen_test_sees_whether_notifications_arrive(database: Database, server: Server) -> None:
    """It sees them repeatedly, but none from another database. A test that is not possible is reported."""
    with psycopg.connect(database.url, autocommit=True) as listener:
        test = ListenTest(listener, database.url)
        for result in (test.run(), test.run()):
            assert (result.arrives, result.problem) == (True, "")
            assert result.ms is not None
            assert 0 < result.ms < 2000
        elsewhere = ListenTest(listener, server.url("postgres"), timeout=0.2).run()
        assert (elsewhere.arrives, elsewhere.ms) == (False, None)
        unreachable = ListenTest(listener, "host=127.0.0.1 port=9").run()
        assert unreachable.arrives is None
        assert "127.0.0.1" in unreachable.problem


def test_live_status_reads_the_history_less_often(database: Database, live: LiveStatus, clock: Clock) -> None:
    """The pause is fifty times the duration of the read, here a second. The waiting rows are read each time."""
    assert live.read().history.of("sent") == []
    settle_one(database)
    database.sign_up("ben")
    overview = live.read()
    assert (overview.history.of("sent"), overview.progress.count("pending", due=True)) == ([], 1)
    clock.now += 50
    assert [one.last_day for one in live.read().history.of("sent")] == [1]


def test_live_status_tests_notifications_less_often(live: LiveStatus, clock: Clock) -> None:
    """It tests every 15 seconds and keeps the last result until then."""
    first = live.read().listen_result
    assert first.arrives
    assert live.read().listen_result is first
    clock.now += 15
    assert live.read().listen_result is not first


def test_live_status_connects_again(database: Database, live: LiveStatus) -> None:
    """A session that the server ended causes one error."""
    live.read()
    end_sessions(database)
    with pytest.raises(MailroomError):
        live.read()
    assert live.read().listen_result.arrives


def sample(exporter: Exporter, name: str, **labels: str) -> float | None:
    """Return a value as a scrape shows it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    return registry.get_sample_value(f"mailroom_{name}", {"queue": "mailroom", **labels})


def test_exporter_shows_what_the_ledger_says(database: Database) -> None:
    """It shows the queue and what was settled. The second scrape of a series has its value."""
    exporter = Exporter(database.url, "mailroom")
    assert sample(exporter, "up") == 1
    assert sample(exporter, "deliveries_settled_total", state="sent", reason="") == 0
    settle_one(database)
    database.sign_up("ben")
    exporter._fresh_until = 0
    assert sample(exporter, "deliveries_settled_total", state="sent", reason="") == 1
    assert sample(exporter, "deliveries_unsettled", state="due") == 1
    assert sample(exporter, "notifications_arrive") == 1
    exporter.close()


def test_exporter_without_an_answer_shows_no_figures(database: Database) -> None:
    """mailroom_up is 0, and no figure of an earlier scrape is shown. Then it connects again."""
    exporter = Exporter(database.url, "mailroom")
    assert sample(exporter, "oldest_mailable_age_seconds") == 0
    end_sessions(database)
    exporter._fresh_until = 0
    assert (sample(exporter, "up"), sample(exporter, "oldest_mailable_age_seconds")) == (0, None)
    exporter._fresh_until = 0
    assert (sample(exporter, "up"), sample(exporter, "oldest_mailable_age_seconds")) == (1, 0)
    exporter.close()
