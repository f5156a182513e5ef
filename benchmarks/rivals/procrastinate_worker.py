"""A worker of procrastinate, one mail a job: `python -m benchmarks.rivals.procrastinate_worker URL ENDPOINT`.

LISTEN/NOTIFY is on, as by default. The task is a plain function, which the library runs in a thread: an
`async def` that does so itself was no faster. uvloop, and a pool that does not ask each connection whether
it is alive, which the library's own pool does, made it faster by a tenth.
"""

import argparse
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import uvloop
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from psycopg_pool import AsyncConnectionPool

from benchmarks.rivals import SECRET, Limiter, Rival, address, mail, ses_client

_TASK: Final = "mail"
_CHUNK: Final = 1000
"""Jobs deferred by one statement."""
_CONNECTIONS: Final = 10
"""Connections of the pool. Neither 4 nor one for each job at once was faster."""


def install(url: str) -> None:
    """Make procrastinate's schema."""
    with App(connector=SyncPsycopgConnector(conninfo=url)).open() as app:
        app.schema_manager.apply_schema()


def _job(email: str) -> dict[str, Any]:
    return {"email": email, "login": email.partition("@")[0], "secret": SECRET}


def enqueue_many(url: str, count: int) -> None:
    """Defer this many jobs."""
    with App(connector=SyncPsycopgConnector(conninfo=url)).open() as app:
        for start in range(0, count, _CHUNK):
            numbers = range(start, min(start + _CHUNK, count))
            app.configure_task(_TASK).batch_defer(*(_job(address(number)) for number in numbers))


def enqueue_one(connection: psycopg.Connection[Any], email: str, priority: int = 0) -> None:
    """Defer a job in the connection's transaction."""
    app = App(connector=SyncPsycopgConnector())
    app.configure_task(_TASK, connection=connection, priority=priority).defer(**_job(email))


async def _work(url: str, endpoint: str, concurrency: int, rate: float | None) -> None:
    client = ses_client(endpoint, concurrency)
    # The loop's own pool has only 4 threads more than there are processors.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency))
    pool = AsyncConnectionPool(url, min_size=_CONNECTIONS, open=False)
    app = App(connector=PsycopgConnector())
    limiter = Limiter(rate)

    def send(email: str, login: str, secret: str) -> None:
        time.sleep(limiter.delay())
        mail(client, email, login, secret)

    app.task(name=_TASK)(send)
    async with pool, app.open_async(pool):
        await app.run_worker_async(concurrency=concurrency)


# Tried with 10 (180 mails a second), 20 (370), 32 (460), 48, 50, 64 (550 from 50 on), 80, 100 (fewer).
RIVAL = Rival("procrastinate", __name__, 64, install, enqueue_many, enqueue_one)


def main() -> None:
    """Run a worker until it is killed."""
    parser = argparse.ArgumentParser(description="A worker of procrastinate, one mail a job.")
    parser.add_argument("url")
    parser.add_argument("endpoint")
    parser.add_argument("--concurrency", type=int, default=RIVAL.concurrency)
    parser.add_argument("--rate", type=float, help="most mails a second")
    arguments = parser.parse_args()
    uvloop.run(_work(arguments.url, arguments.endpoint, arguments.concurrency, arguments.rate))


if __name__ == "__main__":
    main()
