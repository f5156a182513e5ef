"""A PostgreSQL with fsync on, and databases for the measurements."""

import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from demo.embedded import PostgresServer, embedded_server
from mailroom_collector.schema.migrator import Migrator

Connection = psycopg.Connection[Any]

_SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",  # no checkpoint during a measurement, because each starts with one
    "min_wal_size": "3GB",  # and no new files: see recycle_wal()
    "checkpoint_timeout": "1h",
}


class Server:
    """The embedded server. _SETTINGS has all settings that affect its speed. The rest are defaults."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        with self.connect("postgres") as admin:
            for name, value in _SETTINGS.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        self.pg_ctl("-m", "fast", "-w", "-l", str(folder / "log"), "restart")

    def url(self, database: str) -> str:
        """Return the libpq URL of a database."""
        return str(self._server.get_uri(database))

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's own programs."""
        return str(Path(str(self._server.bin_path)) / name)

    def version(self) -> str:
        """Return PostgreSQL's version."""
        with self.connect("postgres") as connection:
            return str(connection.info.parameter_status("server_version"))

    def connect(self, database: str) -> Connection:
        """Return a connection in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True)

    def recycle_wal(self) -> None:
        """Write this much WAL once. A measurement then finds the files created, as on an old server."""
        with self.connect("postgres") as admin:
            for _ in range(30):
                admin.execute("SELECT pg_logical_emit_message(false, 'benchmarks', repeat('x', 100000000))")
            admin.execute("CHECKPOINT")

    def template(self, name: str, fill: Callable[["Database"], None]) -> str:
        """Create a migrated database once, and fill it. database() then copies it quickly. Return its name."""
        if name not in self._templates:
            with self.connect("postgres") as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
                admin.execute(f"CREATE DATABASE {name}".encode())
            with self._connected(name) as database:
                # Its tokens wait longer than tokens usually live.
                database.run("UPDATE mailroom_actions SET lifetime = 86400")
                fill(database)
            self._templates.add(name)
        return name

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator["Database"]:
        """Create a migrated database for the block."""
        name = f"bench_{next(self._numbers)}"
        with self.connect("postgres") as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
            try:
                with self._connected(name) as database:
                    yield database
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @contextlib.contextmanager
    def _connected(self, name: str) -> Iterator["Database"]:
        with self.connect(name) as connection:
            Migrator(connection).run(None)
            yield Database(self, name, connection)

    def pg_ctl(self, *arguments: str) -> None:
        """Run pg_ctl as the user that owns the data."""
        command = [self.program("pg_ctl"), "-D", str(self._folder), *arguments]
        quiet = subprocess.DEVNULL
        subprocess.run(
            command, user=self._server.system_user, stdin=quiet, stdout=quiet, stderr=quiet, check=True, cwd="/"
        )


class Database:
    """A migrated database, with the actions that the suites need."""

    def __init__(self, server: Server, name: str, connection: Connection) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)
        self.connection = connection

    def connect(self) -> Connection:
        """Return another connection."""
        return self.server.connect(self.name)

    def run(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a query. Return its rows, if it has any."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: Any) -> Any:
        """Return the first value of a query's only row."""
        ((value, *_),) = self.run(query, *parameters)
        return value

    def insert(self, count: int) -> None:
        """Insert this many accounts in one statement."""
        self.run(
            "INSERT INTO accounts (email, login)"
            " SELECT 'user' || n || '@example.com', 'user' || n FROM generate_series(1, %s) n",
            count,
        )

    def sign_up(self, count: int) -> None:
        """Insert this many accounts in one statement, then vacuum, analyze and checkpoint."""
        self.insert(count)
        self.settle_down()

    def settle_down(self) -> None:
        """Vacuum, analyze and checkpoint, so that no background work disturbs a measurement."""
        self.run("VACUUM ANALYZE")
        self.run("CHECKPOINT")


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Run a server of its own during the block."""
    # A socket's path may have 107 bytes (unix(7)). /var/tmp is on a disk where /tmp may be memory.
    parent = Path(tempfile.mkdtemp(prefix="mailroom-", dir="/var/tmp"))
    parent.chmod(0o755)
    try:
        with embedded_server(parent / "pg") as server:
            ours = Server(server, parent / "pg")
            try:
                yield ours
            finally:
                # The package doesn't know of the restarted server.
                ours.pg_ctl("-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(parent, ignore_errors=True)
