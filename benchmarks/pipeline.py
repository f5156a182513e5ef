"""The whole pipeline beside queues that also need only PostgreSQL, and beside four pipelines."""

import contextlib
import itertools
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from benchmarks.endpoint import Arrival, Endpoint, rate, running_endpoint
from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import Running, environment, running, running_pipeline
from benchmarks.rivals import Rival, address, pgqueuer_worker, procrastinate_worker
from benchmarks.server import Connection, Database, Server

RIVALS: Final = (procrastinate_worker.RIVAL, pgqueuer_worker.RIVAL)
OURS: Final = "mailroom"
SES_DELAY: Final = 0.05
"""Seconds that a call to SES takes."""

_SIGN_UPS: Final = 200
"""Sign-ups for each contender. All wait at the same time and get theirs in turn, so a disturbance affects all."""
_WARM_UPS: Final = 20
_GAP: Final = (0.015, 0.025)
"""Seconds between sign-ups. They differ, so that they do not coincide with a periodic job."""

_ROWS: Final = 20_000
_JOBS: Final = {"procrastinate": 2_000, "PgQueuer": 3_000}
_FAST: Final = {"MAILROOM_BATCH_LIMIT": "50", "MAILROOM_SES_CONCURRENCY": "16"}
"""The calls at once that keep the sender busy at SES_DELAY. 8 make it a fifth slower, 24 and 32 no faster."""

_SHARED_ROWS: Final = 40_000
_PIPELINES: Final = 4
_SECONDS: Final = 180.0


# Commit to SES


@dataclass(frozen=True, slots=True)
class _Contender:
    """One program that waits for sign-ups, in its own database, at the same time as the others."""

    name: str
    connection: Connection
    sign_up: Callable[[Connection, str], Any]
    program: Running

    def commit(self, email: str) -> float:
        """Sign up in its own transaction. Return the moment before its commit."""
        self.connection.execute("BEGIN")
        self.sign_up(self.connection, email)
        moment = time.monotonic()
        self.connection.execute("COMMIT")
        return moment

    def check(self) -> None:
        """Raise RuntimeError if its program has failed."""
        self.program.check()


def _insert_account(connection: Connection, email: str) -> None:
    connection.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (email, email.partition("@")[0]))


@contextlib.contextmanager
def _mailroom(server: Server, endpoint: Endpoint) -> Iterator[_Contender]:
    with (
        server.database() as database,
        running_pipeline(endpoint.url, database.url, MAILROOM_BATCH_LIMIT="1") as program,
    ):
        yield _Contender(OURS, database.connection, _insert_account, program)


@contextlib.contextmanager
def _queue(server: Server, endpoint: Endpoint, rival: Rival) -> Iterator[_Contender]:
    with server.database() as database:
        rival.install(database.url)
        with _running_rival(rival, endpoint, database) as program:
            yield _Contender(rival.name, database.connection, rival.enqueue_one, program)


@contextlib.contextmanager
def _running_rival(rival: Rival, endpoint: Endpoint, database: Database) -> Iterator[Running]:
    with running(rival.command(database.url, endpoint.url), environment()) as program:
        yield program


def _warm_up(contender: _Contender, endpoint: Endpoint, numbers: Iterator[int]) -> None:
    """Wait until it mails single sign-ups. The first one may wait for its start."""
    for _ in range(_WARM_UPS):
        mails = endpoint.mails()
        contender.commit(address(next(numbers)))
        endpoint.wait(mails + 1, _SECONDS, contender.check)


def _in_turn(contenders: Sequence[_Contender], numbers: Iterator[int]) -> dict[str, tuple[str, float]]:
    """Sign up with each, in a changing order. Return for each address the contender and the time of its commit."""
    chance = random.Random(1)
    committed: dict[str, tuple[str, float]] = {}
    for _ in range(_SIGN_UPS):
        for contender in chance.sample(contenders, len(contenders)):
            email = address(next(numbers))
            committed[email] = (contender.name, contender.commit(email))
            time.sleep(chance.uniform(*_GAP))
    return committed


def _once_each(arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Return when each address was mailed. Raises RuntimeError if one was mailed twice."""
    counts = Counter(email for arrival in arrivals for email in arrival.addresses)
    twice = [email for email, count in counts.items() if count > 1]
    if twice:
        raise RuntimeError(f"{len(twice)} addresses were mailed twice: {twice[:5]}")
    return {email: arrival.at for arrival in arrivals for email in arrival.addresses}


def _times(server: Server) -> dict[str, list[float]]:
    """Return for each contender the ms from each commit to the arrival."""
    times: dict[str, list[float]] = defaultdict(list)
    numbers = itertools.count()
    with running_endpoint(0.0, record=True) as endpoint, contextlib.ExitStack() as stack:
        contenders = [stack.enter_context(_mailroom(server, endpoint))]
        contenders += [stack.enter_context(_queue(server, endpoint, rival)) for rival in RIVALS]
        for contender in contenders:
            _warm_up(contender, endpoint, numbers)
        committed = _in_turn(contenders, numbers)
        endpoint.wait(next(numbers), _SECONDS)  # as many as were signed up: they count from 0
        mailed = _once_each(endpoint.arrivals())
    for email, (name, at) in committed.items():
        times[name].append(1000 * (mailed[email] - at))
    return times


def _quantiles(server: Server) -> list[Mapping[str, float]]:
    values: dict[str, float] = {}
    for name, times in _times(server).items():
        cuts = statistics.quantiles(times, n=20)
        values |= {f"{name}, p50": cuts[9], f"{name}, p95": cuts[18]}
    return [values]


def _latency_suite(server: Server) -> Suite:
    names = [f"{name}, {part}" for part in ("p50", "p95") for name in (OURS, *(rival.name for rival in RIVALS))]
    targets = [
        Target(f"{OURS}, {part}", f"{rival.name}, {part}", 1.0, at_least=False)
        for part in ("p50", "p95")
        for rival in RIVALS
    ]
    samples = Samples(partial(_quantiles, server))
    return Suite("Commit to SES, whole pipeline, limit 1", "ms", samples.measures(*names), targets)


# Mails a second


def _our_rate(server: Server, rows: int, delay: float, pipelines: int = 1) -> float:
    """Return the mails per second of this many pipelines on one database.

    Raises RuntimeError if a mail is sent twice.
    """
    with (
        server.database() as database,
        running_endpoint(delay, record=True) as endpoint,
        contextlib.ExitStack() as stack,
    ):
        database.sign_up(rows)
        starts = (running_pipeline(endpoint.url, database.url, **_FAST) for _ in range(pipelines))
        programs = [stack.enter_context(start) for start in starts]

        def check() -> None:
            for program in programs:
                program.check()

        endpoint.wait(rows, _SECONDS, check)
        arrivals = endpoint.arrivals()
        _once_each(arrivals)
        return rate(arrivals)


def _rival_rate(server: Server, rival: Rival, jobs: int) -> float:
    with server.database() as database, running_endpoint(SES_DELAY) as endpoint:
        rival.install(database.url)
        rival.enqueue_many(database.url, jobs)
        database.settle_down()
        with _running_rival(rival, endpoint, database) as program:
            endpoint.wait(jobs, _SECONDS, program.check)
            return rate(endpoint.arrivals())


def _rate_suite(server: Server) -> Suite:
    procrastinate, pgqueuer = RIVALS
    return Suite(
        f"Mails a second, whole pipeline with ledger, SES at {SES_DELAY * 1000:.0f} ms a call",
        "mails/s",
        {
            OURS: lambda: _our_rate(server, _ROWS, SES_DELAY),
            procrastinate.name: lambda: _rival_rate(server, procrastinate, _JOBS[procrastinate.name]),
            pgqueuer.name: lambda: _rival_rate(server, pgqueuer, _JOBS[pgqueuer.name]),
        },
        [Target(OURS, procrastinate.name, 20.0), Target(OURS, pgqueuer.name, 8.0)],
    )


def _shared_suite(server: Server, delay: float) -> Suite:
    return Suite(
        f"{_PIPELINES} pipelines on one database, SES at {delay * 1000:.0f} ms a call",
        "mails/s",
        {
            "1 pipeline": lambda: _our_rate(server, _SHARED_ROWS, delay),
            f"{_PIPELINES} pipelines": lambda: _our_rate(server, _SHARED_ROWS, delay, _PIPELINES),
        },
        [Target(f"{_PIPELINES} pipelines", "1 pipeline", 1.0)],
    )


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites."""
    yield _latency_suite(server)
    yield _rate_suite(server)
    for delay in (0.0, SES_DELAY):
        yield _shared_suite(server, delay)
