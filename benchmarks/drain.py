"""Draining a backlog: mailroom-collect, beside its SQL step alone and beside a cursor in `jobs`.

A backlog is created once and copied for each measurement. No sender acknowledges in its queue, so a row is done when
the reader, here /dev/null, has taken its line.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.figures import Measure, Suite, Target
from benchmarks.programs import Running, running_collector
from benchmarks.server import Database, Server

ROWS: Final = 100_000
_LIMITS: Final = (10, 50, 100, 1000, 5000)
_HELD_LIMITS: Final = (10, 50, 1000)
"""The measures whose target is the rate of the SQL step alone."""
_CHUNKS: Final = (500, 1000, 2000, 5000)
_CURSOR_ROWS: Final = 10_000
"""It waits for the disk at each line, so its rate is measured with fewer rows."""

_CLAIM: Final = b"SELECT * FROM mailroom_claim_any('mailroom', 'bench', 3000000, $1)"

_CURSOR: Final = b"""
WITH batch AS MATERIALIZED (
    SELECT t.id, t.action, a.email, a.login, t.secret, t.code
    FROM tokens t JOIN accounts a ON a.id = t.account
    WHERE t.id > (SELECT last_seq FROM jobs WHERE job_type = 'mailroom')
      AND t.consumed_at IS NULL AND t.expires_at > mailroom_epoch()
      AND a.status = CASE t.action WHEN 'activation' THEN 'provisioned' ELSE 'active' END::account_status
    ORDER BY t.id LIMIT $1
), moved AS (
    UPDATE jobs SET last_seq = (SELECT max(id) FROM batch)
    WHERE job_type = 'mailroom' AND EXISTS (SELECT FROM batch)
)
SELECT * FROM batch
"""


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites of this subject."""
    chunk = max(_CHUNKS, key=partial(_claim_rate, server))
    claim = "the SQL step alone, best chunk"
    measures: dict[str, Measure] = {f"limit {limit}": partial(_drain_rate, server, limit) for limit in _LIMITS}
    measures[claim] = partial(_claim_rate, server, chunk)
    measures["a cursor in jobs, limit 10"] = partial(_cursor_rate, server, 10)
    targets = [Target(f"limit {limit}", claim, 0.8) for limit in _HELD_LIMITS]
    yield Suite(f"Drain of {ROWS:,} waiting tokens, mailroom-collect > /dev/null", "rows/s", measures, targets)


def waiting(server: Server, rows: int = ROWS) -> str:
    """Return the template database in which this many tokens wait."""
    return server.template(f"waiting_{rows}", lambda database: database.sign_up(rows))


def drain_seconds(database: Database, limit: int, rows: int = ROWS) -> float:
    """Return the seconds from the first claimed row to the last settled row."""
    first, last = database.run("SELECT min(token), max(token) FROM deliveries WHERE settled_at IS NULL")[0]
    database.run("CHECKPOINT")
    with running_collector(database.url, MAILROOM_BATCH_LIMIT=str(limit)) as collector:
        # By their keys, which is fast: the first row and the last one in the order of claims.
        _await(collector, database, 0.001, f"SELECT state <> 'pending' FROM deliveries WHERE token = {first}")
        started = time.monotonic()
        _await(collector, database, 0.005, f"SELECT settled_at IS NOT NULL FROM deliveries WHERE token = {last}")
        _await(collector, database, 0.005, "SELECT count(*) = 0 FROM deliveries WHERE settled_at IS NULL")
        seconds = time.monotonic() - started
    emitted = database.one("SELECT count(*) FROM deliveries WHERE state = 'emitted'")
    assert emitted == rows, f"{emitted} of {rows} rows were emitted"
    return seconds


def _drain_rate(server: Server, limit: int) -> float:
    with server.database(waiting(server)) as database:
        # A first claim takes as many rows as a line has. They were taken when the time began.
        return (ROWS - limit) / drain_seconds(database, limit)


def _claim_rate(server: Server, chunk: int) -> float:
    return _loop_rate(server, _CLAIM, chunk, ROWS)


def _cursor_rate(server: Server, limit: int) -> float:
    return _loop_rate(server, _CURSOR, limit, _CURSOR_ROWS)


def _loop_rate(server: Server, query: bytes, most: int, rows: int) -> float:
    """Run a query that takes up to `most` rows until it returns none. Its results are discarded."""
    with server.database(waiting(server, rows)) as database, database.connect() as connection:
        connection.pgconn.prepare(b"", query)
        database.run("CHECKPOINT")
        taken, started = 0, time.monotonic()
        while (result := connection.pgconn.exec_prepared(b"", [str(most).encode()], result_format=1)).ntuples:
            taken += result.ntuples
        seconds = time.monotonic() - started
        assert taken == rows, f"{taken} of {rows} rows were taken {result.get_error_message()}"
    return rows / seconds


def _await(collector: Running, database: Database, pause: float, query: str, seconds: float = 120.0) -> None:
    """Return as soon as the query is true. It is asked often, because programs.until() asks rarely."""
    deadline = time.monotonic() + seconds
    while not database.one(query):
        collector.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {query}")
        time.sleep(pause)
