"""What a migration waits for and how long: sign-ups behind it, other migrations, a person who decides."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from mailroom_collector.schema.lock_wait import LockTries
from mailroom_collector.schema.locks import LOCKS, advisory_keys, conflicting
from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.migrator import Migrator
from mailroom_collector.schema.plan import plan
from mailroom_runtime.errors import MailroomError
from tests.support.postgres import Connection, Database, Server
from tests.support.waiting import until

BRIEF = LockTries(lock_timeout=0.3, pause=0.05, tries=2, migration_tries=2)
NEWEST = migrations()[-1].version


@pytest.fixture
def at_ledger(server: Server) -> Iterator[Database]:
    """A database at version 1, in which a transaction of the application is open."""
    database = Database(server, server.new_database(template="template1"))
    Migrator(database.connection).run(1)
    yield database
    database.close()


def migrate_in_vain(
    database: Database, target: int | None = None, lock_tries: LockTries = BRIEF
) -> tuple[str, list[str]]:
    """Return the error and the warnings of a migration that fails."""
    warned: list[str] = []
    with database.connect() as connection, pytest.raises(MailroomError) as raised:
        Migrator(connection, warn=lambda wait: warned.append(str(wait)), lock_tries=lock_tries).run(target)
    return str(raised.value), warned


@pytest.mark.parametrize("table", ["tokens", "deliveries"])
def test_open_transaction_is_named_and_the_wait_ends(at_ledger: Database, table: str) -> None:
    """The message has process, role, start, state and the statement that ends it.

    It never quotes the query, which may hold a secret.
    """
    with psycopg.connect(at_ledger.url, application_name="nightly report") as reader:
        reader.execute(f"SELECT 'hunter2' FROM {table}".encode())
        error, warned = migrate_in_vain(at_ledger)
        pid = reader.info.backend_pid
        name = {"tokens": "4_actions.up", "deliveries": "3_operations.up"}[table]
        blockers = f"pid {pid} (nightly report, role postgres, idle in transaction, since 20"
        assert f"{name} waits for a lock (ACCESS EXCLUSIVE) on {table}, which others have: {blockers}" in error
        assert f"given up after 2 tries; end it (SELECT pg_terminate_backend({pid})), or run it again later" in error
        assert "hunter2" not in error
        assert len(warned) == 1
        assert "next try in 0 s (1 of 2)" in warned[0]
    Migrator(at_ledger.connection).run(None)
    assert at_ledger.one("SELECT version FROM schema_migrations") == NEWEST


def test_sign_up_behind_a_migration_waits_for_one_lock_timeout_at_most(at_ledger: Database) -> None:
    """All locks of one try share one timeout, so two tables do not double the wait."""
    lock_tries = LockTries(lock_timeout=3.0, tries=1)
    readers = {table: at_ledger.connect() for table in ("tokens", "deliveries")}
    for table, reader in readers.items():
        reader.execute("BEGIN")
        reader.execute(f"SELECT FROM {table}".encode())
    down = threading.Thread(target=migrate_in_vain, args=(at_ledger, 0, lock_tries))
    down.start()
    until(lambda: at_ledger.one("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1, "it waits for tokens")
    threading.Timer(0.6 * lock_tries.lock_timeout, readers["tokens"].close).start()
    began = time.monotonic()
    at_ledger.sign_up("ann")
    took = time.monotonic() - began
    down.join()
    readers["deliveries"].close()
    assert 0.6 * lock_tries.lock_timeout < took < 1.4 * lock_tries.lock_timeout  # 1.6 times with two timeouts
    assert at_ledger.one("SELECT version FROM schema_migrations") == 1


def test_prepared_transaction_is_named(server: Server) -> None:
    """It has no session that could be terminated."""
    database = Database(server, server.new_database(template="template1"))
    try:
        if database.one("SHOW max_prepared_transactions") == "0":
            database.run("ALTER SYSTEM SET max_prepared_transactions = 5")
            server.restart()
            database.reconnect()
        Migrator(database.connection).run(2)
        database.run("BEGIN")
        database.run("SELECT FROM deliveries")
        database.run("PREPARE TRANSACTION 'forgotten'")
        error, _ = migrate_in_vain(database)
        assert "the prepared transaction 'forgotten' (role postgres, since 20" in error
        assert "end it (COMMIT PREPARED 'forgotten' or ROLLBACK PREPARED 'forgotten')" in error
        database.run("ROLLBACK PREPARED 'forgotten'")
    finally:
        database.close()


@pytest.mark.parametrize("place", [0, 1, 2], ids=["golang-migrate", "its library", "mailroom 0.2"])
def test_wait_for_another_migration_ends(at_ledger: Database, place: int) -> None:
    """A pooler may have kept its lock. The message names the statement that releases it."""
    key = advisory_keys(at_ledger.name, "public", "schema_migrations")[place]
    with psycopg.connect(at_ledger.url, autocommit=True, application_name="deploy") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (key,))
        error, warned = migrate_in_vain(at_ledger)
        blockers = (
            f"another migration of schema public to end, which others have: pid {other.info.backend_pid} (deploy, "
        )
        assert f"the migration waits for {blockers}" in error
        assert len(warned) == 1


def test_wait_for_a_locked_version_ends(at_ledger: Database) -> None:
    """Reading the version may have to wait too."""
    with psycopg.connect(at_ledger.url, application_name="repair") as other:
        other.execute("LOCK TABLE schema_migrations")
        error, _ = migrate_in_vain(at_ledger)
    assert "the migration waits for a lock (ACCESS SHARE) on schema_migrations, which others have: pid " in error
    assert "(repair, role postgres, idle in transaction, since 20" in error


def test_no_lock_outlives_a_migration(at_ledger: Database) -> None:
    """Its session holds no lock after success or failure. A pooler would pass such a lock on to other clients."""
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    Migrator(at_ledger.connection).run(2)
    assert at_ledger.one(held) == 0
    at_ledger.run("CREATE FUNCTION mailroom_reason(error text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
    with pytest.raises(MailroomError, match=r"3_operations\.up failed"):
        Migrator(at_ledger.connection).run(3)
    assert at_ledger.one(held) == 0


def test_question_holds_no_lock(at_ledger: Database) -> None:
    """While a person decides, sign-ups and other migrations continue.

    A change made meanwhile is not undone without a question.
    """
    others = at_ledger.connect()

    def think(_: str) -> bool:
        rows = others.execute(
            "SELECT state FROM pg_stat_activity WHERE pid = %s", (at_ledger.connection.info.backend_pid,)
        ).fetchall()
        assert rows == [("idle",)]
        Migrator(others).run(3)
        return True

    with pytest.raises(MailroomError, match="another migration went from version 1 to 3 meanwhile"):
        Migrator(at_ledger.connection).run(0, agree=think)
    assert at_ledger.one("SELECT version FROM schema_migrations") == 3
    others.close()


def _locks_of(connection: Connection, tables: list[str], statement: str) -> dict[str, set[str]]:
    """Return the locks that a step takes on tables that existed before. The step is rolled back."""
    query = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted"
    ids = {name: connection.execute("SELECT %s::regclass::oid", (name,)).fetchall()[0][0] for name in tables}
    with connection.transaction(force_rollback=True):
        connection.execute(statement.encode())
        held = connection.execute(query.encode()).fetchall()
    return {name: modes for name in tables if (modes := {mode for one, mode in held if one == ids[name]})}


@pytest.mark.parametrize("version", [one.version for one in migrations()])
def test_migration_first_takes_the_locks_that_its_step_needs(server: Server, version: int) -> None:
    """No lock is missing, which would add a second wait. Except for row locks, none is stronger than the step's own."""
    database = Database(server, server.new_database(template="template1"))
    try:
        migrator = Migrator(database.connection)
        migrator.run(version - 1)
        for target in (version, version - 1):
            ((step,),) = [plan(migrations(), version + (version - 1) - target, target)]
            tables = [
                str(name) for (name,) in database.run(
                    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                    " AND relname <> 'schema_migrations'"
                )
            ]  # fmt: skip
            held = _locks_of(database.connection, tables, step.sql)
            first = LOCKS[step.name]
            assert set(first) == set(held), step.name
            for table, modes in held.items():
                strongest = min(modes, key=lambda mode: -len(_conflicts(mode)))
                assert set(_conflicts(strongest)) <= set(conflicting(first[table])), (step.name, table)
            migrator.run(target)
    finally:
        database.close()


def _conflicts(mode: str) -> list[str]:
    modes = ("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE",
             "EXCLUSIVE", "ACCESS EXCLUSIVE")  # fmt: skip
    return next(conflicting(one) for one in modes if one.title().replace(" ", "") + "Lock" == mode)
