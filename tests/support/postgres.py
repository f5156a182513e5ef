"""A real PostgreSQL for the tests, and a fresh migrated database for each test."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from demo.embedded import PostgresServer, embedded_server
from mailroom_collector.schema.migrator import Migrator

Connection = psycopg.Connection[Any]
PROGRAMS = Path(os.environ["MAILROOM_TEST_POSTGRES_BIN"]) if "MAILROOM_TEST_POSTGRES_BIN" in os.environ else None
"""The folder of another PostgreSQL's programs, such as /usr/lib/postgresql/15/bin; None for the embedded one."""


class Server:
    """The embedded PostgreSQL. Its databases are cloned from a template, which takes milliseconds."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self.folder = folder
        self.restarted = False
        with self.connect("postgres") as admin:
            # The tests' data need not survive a crash of the machine.
            settings = {"fsync": "off", "max_connections": "200", "password_encryption": "scram-sha-256"}
            for setting, value in settings.items():
                admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
            admin.execute("SELECT pg_reload_conf()")
        with self.connect("template1") as connection:
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # the default from PostgreSQL 15 on
        self.new_database("mailroom_template", template="template1")
        with self.connect("mailroom_template") as connection:
            Migrator(connection).run(None)
            if wrong := os.environ.get("MAILROOM_TEST_TEMPLATE_SQL"):  # tests.sql_mutants
                connection.execute(Path(wrong).read_bytes())

    def url(self, database: str) -> str:
        return str(self._server.get_uri(database))

    def connect(self, database: str, options: str | None = None) -> Connection:
        """Connect; `options` are settings of the session from its first moment, as `-c NAME=VALUE`."""
        return psycopg.connect(self.url(database), autocommit=True, options=options)

    def new_database(self, name: str = "", template: str = "mailroom_template") -> str:
        """Create a database and return its name."""
        name = name or f"mailroom_{next(self._numbers)}"
        with self.connect("postgres") as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return name

    def drop_database(self, name: str) -> None:
        with self.connect("postgres") as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @property
    def tools(self) -> str:
        """Return the folder of psql, pg_dump and pg_restore."""
        return str(self._server.bin_path)

    def restart(self) -> None:
        """Restart at once, as after a crash: sessions end, and transactions that did not wait for the disk are lost."""
        self._pg_ctl("-m", "immediate", "-w", "-l", str(self.folder / "log"), "restart")
        self.restarted = True

    def stop_restarted(self) -> None:
        """Stop the server if its package does not know its current process."""
        if self.restarted:
            self._pg_ctl("-m", "immediate", "-w", "stop")

    def _pg_ctl(self, *arguments: str) -> None:
        command = [str(Path(str(self._server.bin_path)) / "pg_ctl"), "-D", str(self.folder), *arguments]
        user = self._server.system_user
        quiet = subprocess.DEVNULL
        subprocess.run(command, user=user, stdin=quiet, stdout=quiet, stderr=quiet, check=True, cwd="/")

    def require_password(self, role: str) -> None:
        """Let this role log in with its password only."""
        hba = self.folder / "pg_hba.conf"
        hba.write_text(f"local all {role} scram-sha-256\n" + hba.read_text())
        with self.connect("postgres") as admin:
            admin.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    # Not below pytest's folder: a socket's path may have 107 bytes (unix(7)).
    parent = Path(tempfile.mkdtemp(prefix="mailroom-"))
    parent.chmod(0o755)
    try:
        with embedded_server(parent / "pg", PROGRAMS) as server:
            ours = Server(server, parent / "pg")
            try:
                yield ours
            finally:
                ours.stop_restarted()
    finally:
        shutil.rmtree(parent, ignore_errors=True)


class Database:
    """One migrated database, with the actions that tests need."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)
        self.connection = server.connect(name)

    def close(self) -> None:
        self.connection.close()
        self.server.drop_database(self.name)

    def connect(self) -> Connection:
        return self.server.connect(self.name)

    def reconnect(self) -> None:
        """Connect again after the server was restarted."""
        self.connection.close()
        self.connection = self.connect()

    def run(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: Any) -> Any:
        ((value, *_),) = self.run(query, *parameters)
        return value

    def count_reads(self) -> None:
        """Update the server's statistics. Skips the test where the server can't do that."""
        if self.connection.info.server_version < 150_000:
            pytest.skip("before PostgreSQL 15, statistics come when they come")
        self.run("SELECT pg_stat_force_next_flush()")
        self.run("SELECT pg_stat_clear_snapshot()")

    def sign_up(self, *logins: str) -> list[int]:
        """Insert accounts in one transaction. Return their activation tokens."""
        with self.connection.transaction():
            for login in logins:
                self.run("INSERT INTO accounts (email, login) VALUES (%s, %s)", f"{login}@example.com", login)
        return [token for login in logins for (token,) in self.tokens_of(login)]

    def sign_up_many(self, count: int) -> None:
        self.run(
            "INSERT INTO accounts (email, login)"
            " SELECT 'u' || n || '@example.com', 'u' || n FROM generate_series(1, %s) n",
            count,
        )

    def tokens_of(self, login: str) -> list[tuple[Any, ...]]:
        return self.run(
            "SELECT t.id FROM tokens t JOIN accounts a ON a.id = t.account WHERE a.login = %s ORDER BY t.id", login
        )

    def recovery(self, login: str) -> int:
        """Activate an account and ask for a password recovery. Return its token."""
        self.run("UPDATE tokens SET consumed_at = 1 WHERE account = (SELECT id FROM accounts WHERE login = %s)", login)
        return int(
            self.one(
                "INSERT INTO tokens (action, account)"
                " SELECT 'password_recovery', id FROM accounts WHERE login = %s RETURNING id",
                login,
            )
        )

    def states(self) -> dict[str, int]:
        return dict(self.run("SELECT state::text, count(*) FROM deliveries GROUP BY 1"))

    def state(self, token: int) -> str:
        return str(self.one("SELECT state FROM deliveries WHERE token = %s", token))
