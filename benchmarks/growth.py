"""Whether speed falls with millions of old deliveries, and while another snapshot keeps dead rows."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from benchmarks.drain import ROWS, drain_seconds, waiting
from benchmarks.figures import Suite, Target
from benchmarks.server import Connection, Database, Server

_SETTLED: Final = 5_000_000
_WAITING: Final = 20_000
_CHUNK: Final = 1000
_LIMIT: Final = 1000

_CLAIM: Final = f"SELECT count(*) FROM mailroom_claim_any('mailroom', 'bench', 3000000, {_CHUNK})"
_WARM: Final = """
SELECT count(t.secret), count(a.email)
FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
WHERE d.queue = 'mailroom' AND d.settled_at IS NULL
"""
_TABLES: Final = "ARRAY['accounts', 'tokens', 'deliveries']::regclass[]"
_FILL: Final = f"""
SET session_replication_role = replica;  -- no trigger, no foreign key
SET maintenance_work_mem = '1GB';
UPDATE pg_index SET indisready = false WHERE indrelid = ANY ({_TABLES});  -- built at the end, which is faster
INSERT INTO accounts (email, login)
    SELECT 'old' || n || '@example.com', 'old' || n FROM generate_series(1, {_SETTLED}) n;
INSERT INTO tokens (action, account, secret, code)
    SELECT 'activation', id, sha256(int8send(id)), '12345' FROM accounts;
INSERT INTO deliveries (queue, token, state, attempts, due_at, holder, message_id, settled_at)
    SELECT 'mailroom', id, 'sent', 1, now() - interval '1 day', 'bench-1-2', 'message-' || id,
           now() - interval '1 day' + id * interval '1 ms'
    FROM tokens;
UPDATE pg_index SET indisready = true WHERE indrelid = ANY ({_TABLES});
REINDEX TABLE accounts;
REINDEX TABLE tokens;
REINDEX TABLE deliveries;
RESET session_replication_role;
"""


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites of this subject."""
    none = partial(waiting, server, _WAITING)
    settled = partial(server.template, "settled", _fill)
    few, many = "no other rows", f"{_SETTLED:,} settled rows"
    yield Suite(
        f"Claims of {_CHUNK:,} rows, in a table with",
        "ms/chunk",
        {few: partial(_claim_ms, server, none), many: partial(_claim_ms, server, settled)},
        [Target(many, few, 1.2, at_least=False)],
    )
    held = "a snapshot held open from start to end"
    yield Suite(
        f"Drain of {ROWS:,} waiting tokens, limit {_LIMIT:,}, meanwhile",
        "s",
        {"nothing": partial(_drain_s, server, False), held: partial(_drain_s, server, True)},
        [Target(held, "nothing", 1.5, at_least=False)],
    )


def _claim_ms(server: Server, template: Callable[[], str]) -> float:
    """Return the ms of one claim, averaged over all claims that are needed."""
    with server.database(template()) as database, database.connect() as connection:
        database.run(_WARM)  # the claimed rows are in memory, as if just written
        database.run("CHECKPOINT")
        started = time.monotonic()
        claimed = [_claim(connection) for _ in range(_WAITING // _CHUNK)]
        seconds = time.monotonic() - started
        assert claimed == [_CHUNK] * len(claimed), claimed
    return seconds / len(claimed) * 1000


def _claim(connection: Connection) -> int:
    ((count,),) = connection.execute(_CLAIM.encode()).fetchall()
    return int(count)


def _fill(database: Database) -> None:
    database.run(_FILL)
    database.sign_up(_WAITING)


def _drain_s(server: Server, held: bool) -> float:
    with server.database(waiting(server)) as database, contextlib.ExitStack() as stack:
        if held:
            other = stack.enter_context(database.connect())
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT count(*) FROM jobs")
        return drain_seconds(database, _LIMIT)
