"""A password recovery behind an import: the seconds from its commit to SES, when SES's rate is the limit.

An import is one statement of 100,000 accounts. Some seconds after the first of its mails, recoveries are committed one
at a time, at random moments. SES allows the rate and holds a second of it. The programs run with their defaults.

Beside it the same with two other queues at their priorities: the recoveries are jobs of a higher priority than those of
the import, and the worker has a limiter. Each is measured with two settings: with few jobs at once, as it comes, and
with as many as made it fastest. Their imports wait already when the worker starts.

A recovery that has not come when a run ends counts as the seconds until then. A queue that sends less than SES allows
can be quick for that reason, so the share of the rate that each uses meanwhile is measured too.
"""

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from benchmarks.answers import Limit
from benchmarks.endpoint import Endpoint, running_endpoint
from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import Running, environment, running, running_pipeline
from benchmarks.rivals import Rival, pgqueuer_worker, procrastinate_worker
from benchmarks.server import Connection, Database, Server

_IMPORT: Final = 100_000
_SES_DELAY: Final = 0.05
"""Seconds that a call to SES takes."""
_UNDER_WAY: Final = 3.0
"""Seconds of the rate that are mailed before the first recovery."""
_PERIOD: Final = 25.0
"""Seconds within which the recoveries are committed."""
_CAP: Final = 12.0
"""Seconds after the last recovery at which a run ends."""
_START: Final = 120.0
"""Seconds within which the import must be in progress."""
_PRIORITY: Final = 10
_CHANCE: Final = random.Random(1)
_SANDBOX, _USUAL, _HIGH = 1.0, 14.0, 500.0
"""Recipients a second: in the sandbox, of most accounts at first, and of a large one."""
_AT_ONCE: Final = (
    (procrastinate_worker.RIVAL, 1),  # its default
    (procrastinate_worker.RIVAL, procrastinate_worker.RIVAL.concurrency),
    (pgqueuer_worker.RIVAL, 20),  # the least that it permits with its default batch of 10
    (pgqueuer_worker.RIVAL, 2 * pgqueuer_worker.RIVAL.concurrency),  # and with the batch that made it fastest
)


@dataclass(frozen=True, slots=True)
class _Contender:
    """A program that is in the middle of an import, with a database and an SES of its own."""

    name: str
    rate: float
    """Recipients a second that SES allows."""
    recoveries: int
    """How many are measured in a run."""
    connection: Connection
    recover: Callable[[Connection, str], Any]
    program: Running
    endpoint: Endpoint

    def commit(self, email: str) -> float:
        """Ask for a recovery in its own transaction. Return the moment before its commit."""
        self.connection.execute("BEGIN")
        self.recover(self.connection, email)
        moment = time.monotonic()
        self.connection.execute("COMMIT")
        return moment


def _address(number: int) -> str:
    return f"recovery{number}@example.com"


# The contenders


def _insert_token(connection: Connection, email: str) -> None:
    connection.execute(
        "INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts WHERE email = %s", (email,)
    )


@contextlib.contextmanager
def _mailroom(server: Server, name: str, rate: float, recoveries: int) -> Iterator[_Contender]:
    with (
        server.database() as database,
        running_endpoint(_SES_DELAY, record=True, limit=Limit(rate)) as endpoint,
        running_pipeline(endpoint.url, database.url) as program,
    ):
        database.run(
            "INSERT INTO accounts (email, login, status)"
            " SELECT 'recovery' || n || '@example.com', 'recovery' || n, 'active' FROM generate_series(1, %s) n",
            recoveries,
        )
        program.says("acknowledging")
        program.says("listening")
        database.insert(_IMPORT)
        yield _Contender(name, rate, recoveries, database.connection, _insert_token, program, endpoint)


@contextlib.contextmanager
def _queue(server: Server, rival: Rival, at_once: int, rate: float, recoveries: int) -> Iterator[_Contender]:
    def fill(database: Database) -> None:
        rival.install(database.url)
        rival.enqueue_many(database.url, _IMPORT)
        database.settle_down()

    with (
        server.database(server.template(f"import_{rival.name.lower()}", fill)) as database,
        running_endpoint(_SES_DELAY, record=True, limit=Limit(rate)) as endpoint,
        running(rival.command(database.url, endpoint.url, at_once, rate), environment()) as program,
    ):
        recover = partial(rival.enqueue_one, priority=_PRIORITY)
        yield _Contender(_name(rival, at_once), rate, recoveries, database.connection, recover, program, endpoint)


def _name(rival: Rival, at_once: int) -> str:
    return f"{rival.name}, {at_once} job{'s' if at_once > 1 else ''} at once"


# A run


def _sample(starts: Sequence[Callable[[], contextlib.AbstractContextManager[_Contender]]]) -> Mapping[str, float]:
    """Return the quantiles of each contender, in seconds. They run at the same time."""
    with contextlib.ExitStack() as stack:
        contenders = [stack.enter_context(start()) for start in starts]
        for one in contenders:
            one.endpoint.wait(int(_UNDER_WAY * one.rate), _START, one.program.check)
        started = time.monotonic()
        committed = _recover(contenders)
        time.sleep(_CAP)
        values: dict[str, float] = {}
        for one, moments in zip(contenders, committed, strict=True):
            values |= _values(one, moments, started)
        return values


def _recover(contenders: Sequence[_Contender]) -> list[dict[str, float]]:
    """Commit the recoveries of all, each at a random moment. Return for each contender the addresses and moments."""
    times = [
        (_CHANCE.uniform(0, _PERIOD), place) for place, one in enumerate(contenders) for _ in range(one.recoveries)
    ]
    committed: list[dict[str, float]] = [{} for _ in contenders]
    started = time.monotonic()
    for at, place in sorted(times):
        time.sleep(max(0.0, started + at - time.monotonic()))
        email = _address(len(committed[place]) + 1)
        committed[place][email] = contenders[place].commit(email)
    return committed


def _values(contender: _Contender, committed: Mapping[str, float], started: float) -> Mapping[str, float]:
    """Return p50 and p95 of the seconds from commit to SES, and the share of the rate since the start."""
    contender.program.check()
    ended = time.monotonic()
    arrivals = contender.endpoint.arrivals()
    mailed = {email: arrival.at for arrival in arrivals for email in arrival.addresses}
    cuts = statistics.quantiles(
        [mailed.get(email, ended) - at for email, at in committed.items()], n=20, method="inclusive"
    )
    mails = sum(arrival.mails for arrival in arrivals if started < arrival.at <= ended)
    return {
        f"{contender.name}, p50": cuts[9],
        f"{contender.name}, p95": cuts[18],
        contender.name: mails / (ended - started) / contender.rate,
    }


# The suites


def _suite(samples: Samples, rate: float, names: Sequence[str], p50: float | None, p95: float) -> Suite:
    """Return a suite that holds the first contender to these seconds."""
    targets = [Target(f"{names[0]}, p95", None, p95, at_least=False)]
    if p50 is not None:
        targets.insert(0, Target(f"{names[0]}, p50", None, p50, at_least=False))
    return Suite(
        f"A recovery behind an import of {_IMPORT:,}, commit to SES, SES at {rate:g}/s",
        "s",
        samples.measures(*(f"{name}, p{part}" for part in (50, 95) for name in names)),
        targets,
    )


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites."""
    usual, sandbox, high = (f"mailroom at {rate:g}/s" for rate in (_USUAL, _SANDBOX, _HIGH))
    slow = [
        partial(_mailroom, server, usual, _USUAL, 20),
        partial(_mailroom, server, sandbox, _SANDBOX, 8),
        *(partial(_queue, server, rival, at_once, _USUAL, 20) for rival, at_once in _AT_ONCE),
    ]
    samples = Samples(lambda: [_sample(slow)])
    rivals = [_name(rival, at_once) for rival, at_once in _AT_ONCE]
    yield _suite(samples, _USUAL, [usual, *rivals], 1.0, 2.0)
    yield _suite(samples, _SANDBOX, [sandbox], None, 5.0)
    yield Suite("The share of the rate that is used meanwhile", "", samples.measures(usual, sandbox, *rivals))
    fast = Samples(lambda: [_sample([partial(_mailroom, server, high, _HIGH, 60)])])
    yield _suite(fast, _HIGH, [high], None, 0.3)
