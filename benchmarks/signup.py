"""What mailroom costs the application: the rate of sign-ups, with a collector and without mailroom.

Without mailroom, the application inserts the account and its token itself, in one statement. All start from the same
tables with the same indexes and constraints. Only mailroom's triggers differ.
"""

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.figures import Suite, Target
from benchmarks.programs import running_collector
from benchmarks.server import Database, Server

CLIENTS: Final = (1, 8, 32, 64)
_HELD_TO: Final = 32
"""The number of clients with a target. Their commits are so many that they share flushes of the disk."""
_SECONDS: Final = 2
_THREADS: Final = 2
_BULK_ROWS: Final = 200_000

_RANDOM: Final = "\\set n random(1, 1000000000000000)\n"
_ACCOUNT: Final = "INSERT INTO accounts (email, login) {rows}"
_ACCOUNT_AND_TOKEN: Final = (
    "WITH account AS (INSERT INTO accounts (email, login) {rows} RETURNING id)"
    " INSERT INTO tokens (action, account) SELECT 'activation', id FROM account"
)
_ONE_ROW: Final = "VALUES (:n || '@example.com', :n)"
_BULK: Final = f"SELECT n || '@example.com', n FROM generate_series(1, {_BULK_ROWS}) n"

_WITHOUT: Final = "ALTER TABLE accounts DISABLE TRIGGER USER; ALTER TABLE tokens DISABLE TRIGGER USER;"
_PLAIN: Final = """
CREATE FUNCTION plain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('token_insert', '');
    RETURN NULL;
END $$;
CREATE TRIGGER plain AFTER INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION plain();
"""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to sign people up."""

    setup: str
    """The SQL that changes a migrated database before."""
    insert: str
    collected: bool = False
    """A collector runs, on the cores that the clients use."""
    fast_polling: bool = False
    """A session polls fast and claims nothing, as if the collector were on another machine."""


_MAILROOM: Final = "mailroom, collecting"
_FAST_POLLING: Final = "mailroom, attended, nothing claimed"
_NO_TRIGGER: Final = "without any mailroom trigger"
_ACCOUNT_ALONE: Final = "account row alone, without triggers"
_WAYS: Final = {
    _NO_TRIGGER: _Way(_WITHOUT, _ACCOUNT_AND_TOKEN),
    "plain row trigger that notifies": _Way(_WITHOUT + _PLAIN, _ACCOUNT_AND_TOKEN),
    _MAILROOM: _Way("", _ACCOUNT, collected=True),
    _FAST_POLLING: _Way("", _ACCOUNT, fast_polling=True),
    _ACCOUNT_ALONE: _Way(_WITHOUT, _ACCOUNT),
}


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites of this subject."""
    for clients in CLIENTS:
        title = f"Sign-ups in transactions of one row, {clients} client{'s' if clients > 1 else ''}"
        ways = [name for name in _WAYS if name != _ACCOUNT_ALONE or clients == _HELD_TO]
        # The cost of the triggers. The one with a collector also includes its claims, on the same cores as the clients.
        held = (_FAST_POLLING,) if clients == _HELD_TO else ()
        targets = [Target(name, _NO_TRIGGER, 0.8) for name in held]
        yield Suite(title, "tps", {name: partial(_rate, server, _WAYS[name], clients) for name in ways}, targets)
    yield Suite(
        f"One INSERT of {_BULK_ROWS:,} accounts",
        "s",
        {name: partial(_bulk_seconds, server, way) for name, way in _WAYS.items()},
    )


@contextlib.contextmanager
def _prepared(server: Server, way: _Way) -> Iterator[Database]:
    """Create a database for one way to sign up, with a running collector if it needs one."""
    with server.database() as database, contextlib.ExitStack() as stack:
        if way.setup:
            database.run(way.setup)
        if way.fast_polling:
            database.run("SELECT mailroom_attend(false)")
        if way.collected:
            stack.enter_context(running_collector(database.url)).says("listening")
        database.run("CHECKPOINT")
        yield database


def _rate(server: Server, way: _Way, clients: int) -> float:
    """Return the transactions per second, measured by pgbench."""
    with _prepared(server, way) as database, tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"{_RANDOM}{way.insert.format(rows=_ONE_ROW)};\n")
        script.flush()
        command = [server.program("pgbench"), "--no-vacuum", "-M", "prepared", "-f", script.name]
        command += ["-c", str(clients), "-j", str(min(clients, _THREADS)), "-T", str(_SECONDS), database.url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return float(found[1])


def _bulk_seconds(server: Server, way: _Way) -> float:
    with _prepared(server, way) as database:
        started = time.monotonic()
        database.run(way.insert.format(rows=_BULK))
        return time.monotonic() - started
