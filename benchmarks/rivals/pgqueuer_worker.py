"""A worker of PgQueuer, one mail a job: `python -m benchmarks.rivals.pgqueuer_worker URL ENDPOINT`.

As its performance guide and its command line do it: one asyncpg connection, uvloop, tables with
its own autovacuum settings. A blocking call goes to a thread, as its error message advises.
A limit to the jobs at once (`max_concurrent_tasks`, `concurrency_limit`) costs it a fifth, as PostgreSQL
enforces it; without one, as by default, the threads are the limit. A pool of asyncpg was no faster,
psycopg five times slower.

At a rate, the jobs at once are limited. Without that it takes the whole queue, and all of it waits for the rate in
front of a job that is urgent. The batch is then as large as PgQueuer permits: half the limit.
"""

import argparse
import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.adapters.connections import connect_asyncpg
from pgqueuer.db import AsyncpgDriver, SyncPsycopgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries, SyncQueries

from benchmarks.rivals import SECRET, Limiter, Rival, address, mail, ses_client

_ENTRYPOINT: Final = "mail"
_BATCH: Final = 100
"""Jobs that are taken at once. 10, the default, made it a tenth slower, 200 no faster."""


def install(url: str) -> None:
    """Make PgQueuer's schema, and give its tables the autovacuum settings that it advises."""

    async def run() -> None:
        async with connect_asyncpg(url) as connection:
            queries = Queries(AsyncpgDriver(connection))
            await queries.install()
            await queries.optimize_autovacuum()

    asyncio.run(run())


def _job(email: str) -> bytes:
    return json.dumps({"email": email, "login": email.partition("@")[0], "secret": SECRET}).encode()


def enqueue_many(url: str, count: int) -> None:
    """Enqueue this many jobs with one statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        queries = SyncQueries(SyncPsycopgDriver(connection))
        payloads: list[bytes | None] = [_job(address(number)) for number in range(count)]
        queries.enqueue([_ENTRYPOINT] * count, payloads, [0] * count)


def enqueue_one(connection: psycopg.Connection[Any], email: str, priority: int = 0) -> None:
    """Enqueue a job in the connection's transaction."""
    SyncQueries(SyncPsycopgDriver(connection)).enqueue(_ENTRYPOINT, _job(email), priority)


async def _work(url: str, endpoint: str, concurrency: int, rate: float | None) -> None:
    client = ses_client(endpoint, concurrency)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency))
    async with connect_asyncpg(url) as connection:
        queuer = PgQueuer(AsyncpgDriver(connection))
        limiter = Limiter(rate)

        async def send(job: Job) -> None:
            await asyncio.sleep(limiter.delay())
            await asyncio.to_thread(mail, client, **json.loads(job.payload or b"{}"))

        queuer.entrypoint(_ENTRYPOINT)(send)
        if rate is None:
            await queuer.run(batch_size=_BATCH)
        else:
            await queuer.run(batch_size=concurrency // 2, max_concurrent_tasks=concurrency)


# Tried with 32 (570 mails a second), 50 (820), 64 (970), 80 (1,020), 100 (1,070), 150 (1,030).
RIVAL = Rival("PgQueuer", __name__, 100, install, enqueue_many, enqueue_one)


def main() -> None:
    """Run a worker until it is killed."""
    parser = argparse.ArgumentParser(description="A worker of PgQueuer, one mail a job.")
    parser.add_argument("url")
    parser.add_argument("endpoint")
    parser.add_argument("--concurrency", type=int, default=RIVAL.concurrency)
    parser.add_argument("--rate", type=float, help="most mails a second")
    arguments = parser.parse_args()
    uvloop.run(_work(arguments.url, arguments.endpoint, arguments.concurrency, arguments.rate))


if __name__ == "__main__":
    main()
