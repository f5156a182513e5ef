"""A database that hangs: an abandoned statement leaves no session behind."""

from contextlib import closing

import pytest

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Connection, Database
from tests.support.processes import run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

COUNT = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mailroom%%'"
)
ALTER = b"ALTER TABLE deliveries ADD COLUMN note text"


def lock(reader: Connection, alterer: Connection) -> None:
    """Keep a reading transaction open, and let an ALTER TABLE wait for it.

    All other statements then wait behind that.
    """
    if reader.info.transaction_status == 0:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM deliveries")
        alterer.pgconn.send_query(ALTER)
        until(lambda: waiting(reader), "the ALTER TABLE waits")


def waiting(connection: Connection) -> bool:
    return bool(connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())


@pytest.mark.first
def test_lock_that_is_never_released_leaves_no_sessions(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Both programs cancel each abandoned statement. The server ends the statements of killed programs."""
    env = pipeline_env(MAILROOM_LEASE="1000")
    with (
        closing(database.connect()) as reader, closing(database.connect()) as alterer,
        running(PIPELINE, env) as one, running(PIPELINE, env) as other,
    ):  # fmt: skip
        for pipeline in (one, other):
            pipeline.says("acknowledging")
            pipeline.says("listening")
        before = database.one(COUNT)
        endpoint.decide = lambda _: lock(reader, alterer)  # gives the sender an outcome to record
        database.sign_up("ann")
        until(lambda: (one.err + other.err).count("the server has not answered for 10 s") >= 3, "all are given up")
        assert run("timeout -s KILL 1 mailroom-collect status", env=env).status
        assert database.one(COUNT) <= before + 1
        reader.execute("ROLLBACK")
        until(lambda: database.states() == {"sent": 1}, "mail flows again")
        until(lambda: database.one(COUNT) <= before, "no session is left")
