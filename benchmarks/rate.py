"""The share of SES's rate that is used while a backlog waits, and how often SES throttles meanwhile.

SES's bucket holds one second of the rate, or a tenth of it. All four pipelines run in the same minute: at these rates
they hardly disturb each other. The programs run with their defaults, and learn the rate from SES.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.answers import Limit
from benchmarks.drain import waiting
from benchmarks.endpoint import Endpoint, running_endpoint
from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import running_pipeline, until
from benchmarks.server import Server

_LIMITS: Final = (Limit(14.0, 1.0), Limit(14.0, 0.1), Limit(500.0, 1.0), Limit(500.0, 0.1))
_SES_DELAY: Final = 0.05
"""Seconds that a call to SES takes."""
_WARM_UP: Final = 5.0
"""Seconds from the first call to the minute. By then the bucket is no longer full, as it is at the start."""
_SECONDS: Final = 60.0
_START: Final = 60.0
"""Seconds within which a pipeline must make its first call."""
_BACKLOG: Final = 2.0
"""Tokens that wait, in multiples of what the rate takes in the minute."""
_RUNS: Final = 3
"""A run takes more than a minute."""


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites."""
    samples = Samples(lambda: [_sample(server)])
    shares = [_share(limit) for limit in _LIMITS]
    throttles = [_throttles(limit) for limit in _LIMITS]
    yield Suite(
        f"Share of SES's rate that is used in {_SECONDS:.0f} s of a backlog",
        "of the rate",
        samples.measures(*shares),
        [Target(name, None, 0.95) for name in shares],
        _RUNS,
    )
    yield Suite(
        "Calls that SES throttles meanwhile",
        "a minute",
        samples.measures(*throttles),
        [Target(name, None, 1.0, at_least=False) for name in throttles],
        _RUNS,
    )


def _share(limit: Limit) -> str:
    return f"{limit.rate:g}/s, a bucket of {limit.seconds:g} s"


def _throttles(limit: Limit) -> str:
    return f"throttles at {_share(limit)}"


def _sample(server: Server) -> Mapping[str, float]:
    """Watch a pipeline for each limit in the same minute. Return its share of the rate, and its throttles a minute."""
    with contextlib.ExitStack() as stack:
        endpoints = [stack.enter_context(_busy_pipeline(server, limit)) for limit in _LIMITS]
        time.sleep(_WARM_UP)
        before = [_counts(endpoint) for endpoint in endpoints]
        time.sleep(_SECONDS)
        after = [_counts(endpoint) for endpoint in endpoints]
    values: dict[str, float] = {}
    for limit, then, now in zip(_LIMITS, before, after, strict=True):
        seconds = now.at - then.at
        values[_share(limit)] = (now.mails - then.mails) / seconds / limit.rate
        values[_throttles(limit)] = (now.throttles - then.throttles) / seconds * 60
    return values


@contextlib.contextmanager
def _busy_pipeline(server: Server, limit: Limit) -> Iterator[Endpoint]:
    """Run a pipeline with a backlog during the block, which begins with its first call."""
    with (
        server.database(waiting(server, int(limit.rate * _SECONDS * _BACKLOG))) as database,
        running_endpoint(_SES_DELAY, limit=limit) as endpoint,
        running_pipeline(endpoint.url, database.url) as pipeline,
    ):
        # Every call may be throttled.
        until(lambda: endpoint.mails() or endpoint.throttles(), "a first call", _START)
        yield endpoint
        pipeline.check()


@dataclass(frozen=True, slots=True)
class _Counts:
    """What an endpoint has counted until a moment."""

    at: float
    """Monotonic seconds."""
    mails: int
    throttles: int


def _counts(endpoint: Endpoint) -> _Counts:
    return _Counts(time.monotonic(), endpoint.mails(), endpoint.throttles())
