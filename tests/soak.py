"""`python -m tests.soak --tokens 1000000`: months of mail in a short time.

Measures memory and open files of both programs and the size of the ledger, from the first percent of the mails to the
last. The exit status is 1 if they grow, or if a mail is missing or doubled.
"""

import argparse
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.postgres import Database, running_server
from tests.support.processes import Running, environment, program_of, running
from tests.support.ses_endpoint import Call, Endpoint, Reply, running_endpoint
from tests.support.waiting import until

_BACKLOG = 20_000
_INSERT = 2_000
_GROWTH = 6.0
"""MiB that a program may grow after the first percent. That is enough for an allocator, and less than a leak."""


@dataclass
class Tally(Endpoint):
    """An endpoint that only counts its mails."""

    seen: set[int] = field(default_factory=set)
    doubles: int = 0

    def answer(self, call: Call) -> Reply:
        hashes = [hash(data) for _, data in call.destinations]
        with self._lock:
            self.doubles += sum(one in self.seen for one in hashes)
            self.seen.update(hashes)
        return self.accept(call)


@dataclass(frozen=True)
class Sample:
    """The sizes of everything at one moment."""

    mails: int
    memory: tuple[float, float]  # MiB of collector and sender
    files: tuple[int, int]
    table: float  # MiB
    indexes: tuple[float, float]  # MiB of the primary key, and of the index of due rows

    def row(self, started: float, tokens: int) -> str:
        """Return it as a row of the table."""
        return (
            f"{self.mails / tokens:7.0%} {self.mails:9} {time.monotonic() - started:6.0f}"
            f" {self.memory[0]:12.1f} {self.memory[1]:9.1f} {self.files[0]:8} {self.files[1]:6}"
            f" {self.table:9.1f} {self.indexes[0]:9.1f} {self.indexes[1]:9.1f}"
        )


HEAD = "   done     mails      s  collect MiB  send MiB    files  files table MiB   key MiB   due MiB"


def _sample(database: Database, pipeline: Running, mails: int) -> Sample:
    pids = [program_of(name, pipeline.process.pid) for name in ("mailroom-collect", "mailroom-send")]
    memory, files = [], []
    for pid in pids:
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        memory.append(pages * 4096 / 2**20)
        files.append(len(list((process / "fd").iterdir())))
    table, key, due = database.run(
        "SELECT pg_table_size('deliveries'), pg_relation_size('deliveries_pkey'), pg_relation_size('deliveries_due')"
    )[0]
    return Sample(mails, (memory[0], memory[1]), (files[0], files[1]), table / 2**20, (key / 2**20, due / 2**20))


def _write(database: Database, endpoint: Tally, tokens: int) -> None:
    """Sign people up a little faster than they are mailed."""
    with database.connect() as connection:
        for first in range(1, tokens + 1, _INSERT):
            while first - len(endpoint.seen) > _BACKLOG:
                time.sleep(0.05)
            connection.execute(
                "INSERT INTO accounts (email, login) SELECT n || '@example.com', n FROM generate_series(%s::int, %s) n",
                (first, min(first + _INSERT - 1, tokens)),
            )


def soak(tokens: int) -> bool:
    """Run it, print the table, and return whether nothing grew."""
    endpoint = Tally(max_send_rate="1000000.0")
    with running_server() as server, running_endpoint(endpoint), tempfile.TemporaryDirectory() as folder:
        database = Database(server, server.new_database())
        env = environment(
            MAILROOM_DATABASE_URL=database.url,
            MAILROOM_SES_OUTPUT_PATH=f"{folder}/output",
            AWS_ENDPOINT_URL_SES=endpoint.url,
            AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
            AWS_SECRET_ACCESS_KEY="example",
            AWS_EC2_METADATA_DISABLED="true",
        )
        with running("mailroom-collect | mailroom-send > /dev/null", env) as pipeline:
            pipeline.says("acknowledging")
            started = time.monotonic()
            writer = threading.Thread(target=_write, args=(database, endpoint, tokens))
            writer.start()
            print(HEAD)  # noqa: T201
            samples = []
            for percent in (1, *range(5, 101, 5)):
                while len(endpoint.seen) < tokens * percent // 100:
                    if pipeline.process.poll() is not None:
                        raise RuntimeError(pipeline.err)
                    time.sleep(0.05)
                samples.append(_sample(database, pipeline, len(endpoint.seen)))
                print(samples[-1].row(started, tokens), flush=True)  # noqa: T201
            writer.join()
            until(lambda: database.states().keys() == {"sent"}, "all is recorded")
            states = database.states()
    first, last = samples[0], samples[-1]
    grown = [after - before for before, after in zip(first.memory, last.memory, strict=True)]
    flat = max(grown) <= _GROWTH and max(last.files) <= max(first.files)
    whole = len(endpoint.seen) == tokens and not endpoint.doubles
    print(f"grown by {grown[0]:.1f} and {grown[1]:.1f} MiB; doubles {endpoint.doubles}; ledger {states}")  # noqa: T201
    return flat and whole


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    sys.exit(0 if soak(parser.parse_args().tokens) else 1)
