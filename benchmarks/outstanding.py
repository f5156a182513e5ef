"""The rows that are claimed and not begun while a backlog waits, in seconds of SES's rate.

All of them are ahead of a row that is inserted now. They are in the collector, in the pipe, or in the sender. The value
is the 95th percentile of samples. The target is a second of the rate, or one call of 50 rows if that is more.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks.answers import Limit
from benchmarks.drain import waiting
from benchmarks.endpoint import Endpoint, running_endpoint
from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import running_pipeline
from benchmarks.server import Database, Server

_SES_DELAY: Final = 0.05
"""Seconds that a call to SES takes."""
_CALL: Final = 50
"""Rows of the largest call."""
_WARM_UP: Final = 5.0
"""Seconds from the first mail to the first sample."""
_SECONDS: Final = 10.0
_PAUSE: Final = 0.05
"""Seconds between samples."""
_START: Final = 60.0
"""Seconds within which a pipeline must send its first mail."""
_BACKLOG: Final = 2.0
"""Tokens that wait, in multiples of what the rate takes until the last sample."""
_LEAST_ROWS: Final = 10_000
"""And so many more, because a slow pipeline may claim much more than it mails."""
_NO_LIMIT: Final = 12_000.0
"""Recipients a second that are expected at most if SES has no limit."""
_RUNS: Final = 3
_BUSY: Final = {"MAILROOM_BATCH_LIMIT": "50", "MAILROOM_SES_CONCURRENCY": "16"}
"""What a high rate needs, as in the suite `pipeline`."""

# A claimed row is due when its lease ends, so this reads no row that waits.
_CLAIMED: Final = """
SELECT count(*) FILTER (WHERE state = 'claimed') FROM deliveries
WHERE queue = 'mailroom' AND settled_at IS NULL AND due_at > now()
"""


@dataclass(frozen=True, slots=True)
class _Case:
    """A pipeline to be watched."""

    rate: float | None
    """Recipients a second that SES allows. None: no limit."""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How the figures call it."""
        return f"SES at {self.rate:,.0f}/s" if self.rate else "SES without a limit"

    @property
    def rows(self) -> int:
        """How many tokens wait at first."""
        return int((self.rate or _NO_LIMIT) * (_WARM_UP + _SECONDS) * _BACKLOG) + _LEAST_ROWS

    @property
    def target(self) -> Target:
        """A second, or a call."""
        return Target(self.name, None, max(1.0, round(_CALL / self.rate, 2)) if self.rate else 1.0, at_least=False)


_TOGETHER: Final = (_Case(1.0), _Case(14.0), _Case(500.0))
"""These hardly disturb each other, so they are watched at the same time."""
_ALONE: Final = (_Case(5000.0, _BUSY), _Case(None, _BUSY))


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites."""
    measures = Samples(partial(_run, server, _TOGETHER)).measures(*(case.name for case in _TOGETHER))
    for case in _ALONE:
        measures |= Samples(partial(_run, server, [case])).measures(case.name)
    yield Suite(
        "Rows claimed and not begun in a backlog, p95",
        "s of the rate",
        measures,
        [case.target for case in (*_TOGETHER, *_ALONE)],
        _RUNS,
    )


def _run(server: Server, cases: Sequence[_Case]) -> list[Mapping[str, float]]:
    """Watch a pipeline for each case at the same time. Return the seconds of the rate that each has claimed."""
    with contextlib.ExitStack() as stack:
        watched = [stack.enter_context(_busy_pipeline(server, case)) for case in cases]
        time.sleep(_WARM_UP)
        started, before = time.monotonic(), [endpoint.mails() for _, endpoint in watched]
        claimed: list[list[int]] = [[] for _ in watched]
        while time.monotonic() < started + _SECONDS:
            for counts, (database, _) in zip(claimed, watched, strict=True):
                counts.append(database.one(_CLAIMED))
            time.sleep(_PAUSE)
        seconds, after = time.monotonic() - started, [endpoint.mails() for _, endpoint in watched]
    return [
        {
            case.name: _p95(counts) / (case.rate or (now - then) / seconds)
            for case, counts, then, now in zip(cases, claimed, before, after, strict=True)
        }
    ]


def _p95(values: Sequence[int]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[18]


@contextlib.contextmanager
def _busy_pipeline(server: Server, case: _Case) -> Iterator[tuple[Database, Endpoint]]:
    """Run a pipeline with a backlog during the block, which begins with its first mail."""
    limit = Limit(case.rate) if case.rate else None
    with (
        server.database(waiting(server, case.rows)) as database,
        running_endpoint(_SES_DELAY, limit=limit) as endpoint,
        running_pipeline(endpoint.url, database.url, **case.settings) as pipeline,
    ):
        endpoint.wait(1, _START, pipeline.check)
        yield database, endpoint
        pipeline.check()
