"""Failures between the programs and the database: networks that stall, poolers that drop LISTEN."""

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.pooler import running_pgbouncer
from tests.support.postgres import Database
from tests.support.processes import run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.tcp_proxy import Proxy, postgres_target, running_proxy
from tests.support.waiting import until

NO_NOTIFICATIONS = "notifications do not arrive"


def through(port: int, database: Database) -> str:
    # Encryption is off, because the answer to its negotiation is not a message.
    return f"postgresql://postgres@127.0.0.1:{port}/{database.name}?sslmode=disable&gssencmode=disable"


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with running_proxy(postgres_target(database.server.folder)) as proxy:
        yield proxy


@pytest.mark.first
def test_stalled_network_is_noticed_by_both(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, proxy: Proxy
) -> None:
    """Statements whose answers never come are abandoned. Afterwards each row is sent once."""
    env = pipeline_env(
        MAILROOM_DATABASE_URL=through(proxy.port, database),
        MAILROOM_HEALTHCHECK_INTERVAL="1000",
        MAILROOM_LEASE="10000",
    )
    with running(PIPELINE, env) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up("ann")
        until(lambda: database.states() == {"sent": 1}, "the pipeline works")
        # Gives the sender a question to the database, too.
        endpoint.decide = lambda _: proxy.stall()
        database.sign_up("ben")
        pipeline.says("the server has not answered for 10 s", 2)
        endpoint.decide = lambda _: None
        proxy.cut()
        proxy.resume()
        database.sign_up("cid")
        until(lambda: database.states() == {"sent": 3}, "all are sent", 60)
    assert sorted(endpoint.addresses) == ["ann@example.com", "ben@example.com", "cid@example.com"]


def test_cut_connections_are_made_again(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, proxy: Proxy
) -> None:
    """Connections that are reset during the work lose no mail and double none."""
    with running(PIPELINE, pipeline_env(MAILROOM_DATABASE_URL=through(proxy.port, database))) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(2000)
        for part in range(1, 6):
            until(lambda part=part: database.states().get("sent", 0) >= 300 * part, "some more are sent")  # type: ignore[misc]
            proxy.cut()
        until(lambda: database.states() == {"sent": 2000}, "all are sent", 90)
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 2001))


def test_dropped_notifications_are_noticed(database: Database, collector_env: Environment) -> None:
    """A test notification that does not arrive reveals a pooler that drops them. Rows are found by polling."""
    target = postgres_target(database.server.folder)
    with running_proxy(target, drops_notifications=True) as proxy:
        env = collector_env(MAILROOM_DATABASE_URL=through(proxy.port, database))
        with running("mailroom-collect", env) as collector:
            collector.says(NO_NOTIFICATIONS)
            for name in ("ann", "ben"):
                database.sign_up(name)
                collector.prints(f"{name}@example.com")


def test_arriving_notifications_cause_no_warning(database: Database, collector_env: Environment) -> None:
    """The test notifications arrive, and other collectors ignore them."""
    env = collector_env(MAILROOM_HEALTHCHECK_INTERVAL="100")
    with running("mailroom-collect", env) as collector, running("mailroom-collect", env) as other:
        collector.says("listening")
        other.says("listening")
        with database.connect() as connection:
            connection.execute("LISTEN token_insert")
            payloads = {notice.payload for notice in connection.notifies(timeout=30, stop_after=30)}
        assert len(payloads) == 2
        assert NO_NOTIFICATIONS not in collector.err + other.err


@pytest.fixture
def pgbouncer(database: Database) -> Iterator[int]:
    """PgBouncer in transaction mode in front of the database. Yields its port."""
    with running_pgbouncer(database) as port:
        yield port


def test_pgbouncer_in_transaction_mode(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, pgbouncer: int
) -> None:
    """With a real PgBouncer each row is found by polling and mailed once, and a warning says what to change."""
    with running(PIPELINE, pipeline_env(MAILROOM_DATABASE_URL=through(pgbouncer, database))) as pipeline:
        pipeline.says("acknowledging")
        pipeline.says(NO_NOTIFICATIONS)
        database.sign_up_many(1000)
        until(lambda: database.states() == {"sent": 1000}, "all are sent", 60)
        assert pipeline.stop() == 0
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 1001))


def test_status_through_pgbouncer_says_that_notifications_do_not_arrive(
    database: Database, collector_env: Environment, pgbouncer: int
) -> None:
    """All other figures are right, although each statement may use another connection."""
    database.sign_up("ann")
    env = collector_env(MAILROOM_DATABASE_URL=through(pgbouncer, database))
    reported = json.loads(run("mailroom-collect status --json", env=env).out)
    assert (reported["waiting"]["due"], reported["notifications"]) == (
        1,
        {"arrive": False, "ms": None, "problem": None},
    )
