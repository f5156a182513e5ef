"""The cost of a million mails: CPU seconds of each program and of PostgreSQL, and bytes of its log."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.endpoint import running_endpoint
from benchmarks.figures import Samples, Suite
from benchmarks.programs import Running, cpu_seconds, running_pipeline, until
from benchmarks.server import Database, Server

_ROWS: Final = 40_000
_SES_DELAY: Final = 0.05  # seconds
_MILLION: Final = 1_000_000
_COLLECTOR, _SENDER, _POSTGRES, _WAL = "mailroom-collect, s", "mailroom-send, s", "PostgreSQL, s", "its WAL, GB"


def _server_cpu(database: Database) -> float:
    """Return the CPU seconds that all current server processes have used."""
    postmaster = _parent(database.one("SELECT pg_backend_pid()"))
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _parent(int(process.name)) == postmaster:
                total += cpu_seconds(int(process.name))
    return total


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _spent(database: Database, pipeline: Running) -> Mapping[str, float]:
    return {
        _COLLECTOR: cpu_seconds(pipeline.pid("mailroom-collect")),
        _SENDER: cpu_seconds(pipeline.pid("mailroom-send")),
        _POSTGRES: _server_cpu(database),
        _WAL: float(database.one("SELECT pg_current_wal_lsn() - '0/0'")) / 1e9,
    }


def _sample(server: Server) -> Mapping[str, float]:
    """Mail what one statement inserted, from its commit until the last outcome is recorded."""
    with server.database() as database, running_endpoint(_SES_DELAY) as endpoint:
        settings = {"MAILROOM_BATCH_LIMIT": "50", "MAILROOM_SES_CONCURRENCY": "16"}
        with running_pipeline(endpoint.url, database.url, **settings) as pipeline:
            pipeline.says("acknowledging")
            pipeline.says("listening")
            database.insert(_ROWS)
            before = _spent(database, pipeline)
            sent = "SELECT NOT EXISTS (SELECT FROM deliveries WHERE settled_at IS NULL)"
            until(lambda: database.one(sent), "all is sent", seconds=120.0)
            after = _spent(database, pipeline)
    return {name: (after[name] - before[name]) / _ROWS * _MILLION for name in after}


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites."""
    samples = Samples(lambda: [_sample(server)])
    yield Suite(
        f"Cost of a million mails through the pipeline, SES at {_SES_DELAY * 1000:.0f} ms a call",
        "",
        samples.measures(_COLLECTOR, _SENDER, _POSTGRES, _WAL),
    )
