"""One transaction of a migration: its settings, its locks, its record of the version.

The table and the advisory lock are those of golang-migrate's postgres driver (database/postgres/postgres.go):
`schema_migrations(version bigint, dirty boolean)` has one row or none. golang-migrate locks for the session. mailroom
locks for the transaction: behind a pooler, the lock of a session may stay with a connection that another client gets.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from mailroom_collector.schema.catalog import Holder, holders_of_keys, holders_of_tables, read_contents
from mailroom_collector.schema.contents import TABLE, Contents, current_version
from mailroom_collector.schema.locks import LOCKS, advisory_keys
from mailroom_collector.schema.plan import NONE, MigrationStep
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.schema_name import SCHEMA, SCHEMA_WANTED

_LEAST: Final = 0.1
"""The shortest time limit for a lock, in seconds."""

_SETTINGS: Final = """
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL standard_conforming_strings = on;
SET LOCAL check_function_bodies = on;
"""
"""They override the settings of the role and the database. READ COMMITTED lets a step see what others have committed
before it got its locks."""


class Session:
    """Transactions on one autocommit connection, for one schema."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str | None, lock_timeout: float) -> None:
        """`schema` None: the first of the search path. `lock_timeout`: seconds for all locks of a transaction."""
        self._connection = connection
        row = connection.execute("SELECT current_database()::text, current_schema()::text").fetchone()
        database, current = row or ("", None)
        if schema is None and current is None:
            raise MailroomError("no schema to create in", "name one: mailroom-collect migrate --schema mailroom")
        self.schema = str(schema or current)
        if not re.fullmatch(SCHEMA, self.schema, re.ASCII):
            raise MailroomError(f"mailroom can't be in schema {self.schema}", f"give it one of {SCHEMA_WANTED}")
        self._keys = advisory_keys(database, self.schema, TABLE)
        self._lock_timeout = lock_timeout
        self.is_creating_schema = False
        """Whether a failed step was creating the schema. The server's message can't show that: its language varies."""
        self._tables: Sequence[str] | None = None
        self._mode = ""
        self._names: Sequence[str] = ()

    def read(self, names: Sequence[str]) -> Contents:
        """Return what the schema has, while no other migration runs."""
        self._names = names
        with self._transaction():
            return self._read()

    def run(self, step: MigrationStep, current: int) -> int | None:
        """Run a step and record it. If the schema has reached another version meanwhile, return that."""
        with self._transaction() as ends:
            contents = self._read()
            version = current_version(contents)
            if version != current:
                return version
            self.is_creating_schema = not contents.exists
            if self.is_creating_schema:
                self._do("CREATE SCHEMA {}")
                self.is_creating_schema = False
            self._do("SET LOCAL search_path = {}, pg_temp")
            self._lock_tables(LOCKS.get(step.name, {}), ends)
            with self._without_deadline():
                self._connection.execute(step.sql.encode())
            self._record(step.leads_to)
        return None

    @property
    def waits_for_migration(self) -> bool:
        """Return whether the last wait was for another migration."""
        return self._tables is None

    @property
    def wanted(self) -> str:
        """Return what the last wait was for, in words."""
        if self._tables is None:
            return f"another migration of schema {self.schema} to end"
        return f"a lock ({self._mode}) on {' or '.join(self._tables)}"

    def holders(self) -> list[Holder]:
        """Return the holders of the locks that the last wait was for, the oldest first."""
        if self._tables is None:
            return holders_of_keys(self._connection, self._keys)
        return holders_of_tables(self._connection, self.schema, self._tables, self._mode)

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """Begin a transaction while no other migration runs. Yields the time until which it may wait for locks."""
        self._tables = None
        with self._connection.transaction():
            self._connection.execute(_SETTINGS)
            self._limit(self._lock_timeout)
            self._connection.execute(
                "SELECT pg_advisory_xact_lock(k.key) FROM unnest(%s::bigint[]) WITH ORDINALITY AS k (key, place)"
                " ORDER BY k.place",
                (self._keys,),
            )
            self._tables, self._mode = [TABLE], "ACCESS SHARE"
            yield time.monotonic() + self._lock_timeout

    def _lock_tables(self, locks: dict[str, str], ends: float) -> None:
        for table, mode in locks.items():
            self._tables, self._mode = [table], mode
            self._limit(ends - time.monotonic())
            query = sql.SQL(f"LOCK TABLE {{}} IN {mode} MODE")
            self._connection.execute(query.format(sql.Identifier(self.schema, table)))
        # The statements of the step may wait for further locks, on any of these tables.
        self._tables, self._mode = list(locks) or list(self._names), "ACCESS EXCLUSIVE"
        self._limit(ends - time.monotonic())

    def _limit(self, seconds: float) -> None:
        """Set how many seconds the next statements wait for each lock."""
        self._connection.execute(f"SET LOCAL lock_timeout = {int(1000 * max(_LEAST, seconds))}".encode())

    def _read(self) -> Contents:
        return read_contents(self._connection, self.schema, self._names)

    def _do(self, statement: str) -> None:
        """Run a statement with the schema's name in it."""
        self._connection.execute(sql.SQL(statement).format(sql.Identifier(self.schema)))

    def _record(self, version: int) -> None:
        table = sql.Identifier(self.schema, TABLE)
        for text in (
            "CREATE TABLE IF NOT EXISTS {} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
            "DELETE FROM {}",  # not TRUNCATE, which would wait for a running dump
        ):
            self._connection.execute(sql.SQL(text).format(table))
        if version != NONE:
            insert = sql.SQL("INSERT INTO {} (version, dirty) VALUES ({}, false)")
            self._connection.execute(insert.format(table, sql.Literal(version)))

    @contextmanager
    def _without_deadline(self) -> Iterator[None]:
        """Let the statements of the block take any time."""
        if not isinstance(self._connection, DeadlineConnection):
            yield
            return
        timeout, self._connection.timeout = self._connection.timeout, float("inf")
        try:
            yield
        finally:
            self._connection.timeout = timeout
