"""From a commit to the line on a pipe, on an idle machine: mailroom-collect, beside a minimal loop.

The same code reads both. A value is one sample's quantile. A sample is some hundred sign-ups, each committed a moment
after the line of the one before.
"""

import contextlib
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import ROOT, environment
from benchmarks.server import Connection, Server

_SIGN_UPS: Final = 800
_WARM_UP: Final = 20
_PAUSES: Final = (0.010, 0.0107, 0.0123, 0.0134)
"""Seconds between sign-ups, in turn. They differ, so that they do not coincide with a timer."""
_PATIENCE_MS: Final = 10_000
_COLLECTOR: Final = (str(Path(sys.executable).parent / "mailroom-collect"),)
_LOOP: Final = (sys.executable, "-m", "benchmarks.rivals.bare_psycopg")


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites of this subject."""
    ours = Samples(partial(_sample, server, "mailroom-collect", _COLLECTOR))
    bare = Samples(partial(_sample, server, "bare psycopg loop", _LOOP))
    yield Suite(
        "Commit to line on stdout, idle pipeline, limit 1",
        "ms",
        ours.measures("mailroom-collect, p50", "mailroom-collect, p99")
        | bare.measures("bare psycopg loop, p50", "bare psycopg loop, p99"),
        [
            Target("mailroom-collect, p50", "bare psycopg loop, p50", 1.5, at_least=False),
            Target("mailroom-collect, p99", "bare psycopg loop, p99", 1.5, at_least=False),
        ],
    )


def _sample(server: Server, name: str, command: Sequence[str]) -> list[Mapping[str, float]]:
    """Return the quantiles of one sample, in ms."""
    with server.database() as database, _printing(command, database.url) as lines:
        times = [_sign_up_ms(database.connection, lines, number) for number in range(_WARM_UP + _SIGN_UPS)]
    cuts = statistics.quantiles(times[_WARM_UP:], n=100)
    return [{f"{name}, p50": cuts[49], f"{name}, p99": cuts[98]}]


def _sign_up_ms(connection: Connection, lines: int, number: int) -> float:
    """Return the ms from just before COMMIT is sent to the line being readable."""
    time.sleep(_PAUSES[number % len(_PAUSES)])
    connection.execute("BEGIN")
    login = f"user{number}"
    connection.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (f"{login}@example.com", login))
    started = time.perf_counter()
    connection.execute("COMMIT")
    _await_readable(lines)
    elapsed = time.perf_counter() - started
    assert f",{login},".encode() in os.read(lines, 65536)
    return elapsed * 1000


def _await_readable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(_PATIENCE_MS), "no line came"


@contextlib.contextmanager
def _printing(command: Sequence[str], url: str) -> Iterator[int]:
    """Run a program that listens during the block. Yield the descriptor of its output."""
    env = environment(database=url, MAILROOM_BATCH_LIMIT="1")
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert b"listening" in process.stderr.readline()
            yield process.stdout.fileno()
        finally:
            process.send_signal(signal.SIGKILL)
