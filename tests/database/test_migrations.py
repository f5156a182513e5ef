"""Migrations: up, down, by either tool, and on a database that another mailroom created."""

import re
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mailroom_collector.schema.migrations import migrations
from tests.support.postgres import Connection, Database, Server
from tests.support.processes import Finished, environment, run

NEWEST = migrations()[-1].version


@pytest.fixture
def empty(server: Server) -> Iterator[Database]:
    """A database without any schema."""
    database = Database(server, server.new_database(template="template1"))
    yield database
    database.close()


def migrate(database: Database, options: str = "") -> Finished:
    return run(f"mailroom-collect migrate {options}", env=environment(MAILROOM_DATABASE_URL=database.url))


def shape(connection: Connection) -> list[tuple[object, ...]]:
    """Return every table's columns, constraints, indexes and triggers, and every type and function."""
    return connection.execute(
        """
        SELECT 'column', table_name, column_name, data_type, column_default, is_nullable
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', ''
        FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'enum', enumtypid::regtype::text, enumlabel, '', '', '' FROM pg_enum
        UNION ALL SELECT 'function', proname, pg_get_functiondef(oid), '', '', ''
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3, 4
        """
    ).fetchall()


def test_migrate_run_twice_does_nothing_the_second_time(empty: Database) -> None:
    """The second run reports that there is nothing to do."""
    first, second = migrate(empty), migrate(empty)
    assert first.out.splitlines() == [f"ran {one.version}_{one.name}.up" for one in migrations()]
    assert second.out == f"nothing to do: the schema is at version {NEWEST}\n"
    assert empty.run("SELECT version, dirty FROM schema_migrations") == [(NEWEST, False)]


def test_migrate_dry_run_changes_nothing(empty: Database) -> None:
    """A dry run prints the steps and leaves the database unchanged."""
    assert migrate(empty, "--dry-run").out.splitlines()[0] == "would run 0_init.up"
    assert shape(empty.connection) == []


@pytest.mark.parametrize("version", [-1, *(one.version for one in migrations()[:-1])])
def test_migrate_down_and_up_ends_where_it_began(empty: Database, version: int) -> None:
    """Going down to any version and up again gives the same schema. Going down to -1 leaves nothing."""
    migrate(empty)
    whole = shape(empty.connection)
    assert migrate(empty, f"--to {version} --yes").status == 0
    if version == -1:
        assert {row[1] for row in shape(empty.connection)} == {"schema_migrations"}
    assert migrate(empty).status == 0
    assert shape(empty.connection) == whole


def test_going_down_needs_a_confirmation(database: Database) -> None:
    """Without a terminal --yes is required. The question names what would be lost. Going up does not ask."""
    database.sign_up("ann")
    for target, loss in (
        (-1, "everything, with all accounts and tokens"),
        (0, "the actions of your own, .*; the ledger, with all that is known of each delivery"),
    ):
        refused = migrate(database, f"--to {target}")
        assert (refused.status, refused.out) == (2, "")
        assert re.search(rf"\bthis removes (.*; )?{loss}; give --yes to do it", refused.err)
    assert database.one("SELECT version FROM schema_migrations") == NEWEST
    assert database.one("SELECT count(*) FROM deliveries") == 1
    assert migrate(database, "--to -1 --dry-run").status == 0
    assert migrate(database, "--to 0 --yes").status == migrate(database).status == 0


def test_migration_of_a_role_without_tables_names_the_owner(database: Database) -> None:
    """It does not advise to grant a table."""
    database.run("DROP ROLE IF EXISTS somebody")
    database.run("CREATE ROLE somebody LOGIN")
    try:
        url = database.url.replace("//postgres:@", "//somebody:@")
        assert url != database.url
        result = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=url))
        assert result.status == 2
        assert "permission denied for table schema_migrations; use the role that owns the schema" in result.err
    finally:
        database.run("DROP ROLE somebody")


def test_migrate_as_a_role_that_may_not_create_the_schema_says_so(empty: Database) -> None:
    """mailroom adds the failed step in English, because the server may use another language."""
    empty.run("DROP ROLE IF EXISTS somebody")
    empty.run("CREATE ROLE somebody LOGIN")
    try:
        url = empty.url.replace("//postgres:@", "//somebody:@")
        result = run("mailroom-collect migrate --schema mailroom", env=environment(MAILROOM_DATABASE_URL=url))
        assert result.status == 1
        assert "0_init.up failed and changed nothing: permission denied for database" in result.err
        assert "use a role that may create it: GRANT CREATE ON DATABASE" in result.err
    finally:
        empty.run("DROP ROLE somebody")


def test_migrations_run_by_psql_give_the_same_schema(empty: Database, database: Database) -> None:
    """The files are plain SQL.

    Run one after another over a bare connection, they give the schema that migrate gives.
    """
    for migration in migrations():
        with empty.connection.transaction():
            empty.connection.execute(migration.up.encode())
    bookkeeping = "schema_migrations"
    assert shape(empty.connection) == [row for row in shape(database.connection) if row[1] != bookkeeping]


def test_migrate_continues_where_golang_migrate_stopped(empty: Database) -> None:
    """The bookkeeping table is golang-migrate's own. migrate continues from the version recorded there."""
    empty.run(migrations()[0].up)
    empty.run("CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
    empty.run("INSERT INTO schema_migrations VALUES (0, false)")
    assert migrate(empty).out.splitlines() == [f"ran {one.version}_{one.name}.up" for one in migrations()[1:]]


def test_migrate_warns_when_everybody_may_create_in_the_schema(empty: Database) -> None:
    """Up to PostgreSQL 14 this is the default. The migration runs nevertheless."""
    empty.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    first = migrate(empty)
    assert first.status == 0
    note = "note: every role may create in the schema public, in which functions run as its owner; to end that: "
    assert first.out.splitlines()[len(migrations()) :] == [note + "REVOKE CREATE ON SCHEMA public FROM PUBLIC"]
    empty.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert migrate(empty).out == f"nothing to do: the schema is at version {NEWEST}\n"


def test_migrate_refuses_a_dirty_schema(empty: Database) -> None:
    """If another tool stopped in the middle, an operator must check first."""
    migrate(empty)
    empty.run("UPDATE schema_migrations SET dirty = true")
    result = migrate(empty, "--to 0")
    assert result.status == 1
    assert f"dirty at version {NEWEST}" in result.err
    assert "set dirty to false in schema_migrations" in result.err


def test_migrate_refuses_a_schema_that_its_steps_can_not_name(empty: Database) -> None:
    """It refuses before it creates anything there."""
    empty.run('CREATE SCHEMA "My mail"')
    url = empty.url + "&options=-csearch_path%3D%22My%5C%20mail%22"
    result = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=url))
    assert result.status == 1
    assert "mailroom can't be in schema My mail; give it one of 1 to 63 of the characters a-z 0-9 _" in result.err


def test_migrate_refuses_an_unknown_version(empty: Database) -> None:
    """A version that this mailroom doesn't know is named, and nothing is changed."""
    result = migrate(empty, "--to 99")
    assert result.status == 1
    assert f"version 99, which this mailroom doesn't know; it knows -1 to {NEWEST}" in result.err


def test_migrate_failing_changes_nothing(empty: Database) -> None:
    """The database stays as the step before left it."""
    empty.run("CREATE FUNCTION mailroom_epoch() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'")
    result = migrate(empty)
    assert result.status == 1
    assert '0_init.up failed and changed nothing: function "mailroom_epoch" already exists' in result.err
    assert empty.one("SELECT to_regclass('accounts')") is None


def test_migrate_waits_for_golang_migrate(empty: Database) -> None:
    """migrate waits while golang-migrate holds its lock. Of two migrations at once, each step runs once."""
    name = "\0".join(("public", "schema_migrations", f"/{empty.name}"))
    lock = zlib.crc32(name.encode()) * 1486364155 & 0xFFFFFFFF
    results: list[Finished] = []
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with empty.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock,))
        threads = [threading.Thread(target=lambda: results.append(migrate(empty))) for _ in range(2)]
        for thread in threads:
            thread.start()
        while empty.one(waiting) < 2:
            assert not results, results[0].err
    for thread in threads:
        thread.join()
    assert [result.status for result in results] == [0, 0]
    ran = [line for result in results for line in result.out.splitlines() if line.startswith("ran ")]
    assert sorted(ran) == [f"ran {one.version}_{one.name}.up" for one in migrations()]


ANOTHER_MAILROOM = Path(__file__).parent / "another_mailroom.sql"


@pytest.fixture
def another(empty: Database) -> Database:
    """A database that another mailroom created: eight tokens, three of them handed out."""
    empty.run(ANOTHER_MAILROOM.read_text())
    empty.run("INSERT INTO accounts (email, login) SELECT n || '@b.c', 'u' || n FROM generate_series(1, 8) n")
    empty.run("UPDATE jobs SET last_seq = 3")
    empty.run("UPDATE tokens SET expires_at = 1 WHERE id = 5")
    empty.run("UPDATE accounts SET status = 'suspended' WHERE login = 'u6'")
    empty.run("UPDATE tokens SET consumed_at = 9 WHERE id = 7")
    return empty


def test_another_mailrooms_waiting_tokens_become_deliveries(another: Database) -> None:
    """Tokens that it had not handed out and are valid are mailed. Tokens that were handed out or are stale are not."""
    result = migrate(another)
    assert result.status == 0, result.err
    assert another.run("SELECT token, state::text FROM deliveries ORDER BY 1") == [(4, "pending"), (8, "pending")]


def test_another_mailroom_that_never_handed_out_anything(another: Database) -> None:
    """Without a last_seq every valid token is mailed."""
    another.run("UPDATE jobs SET last_seq = NULL")
    migrate(another)
    assert another.run("SELECT token FROM deliveries ORDER BY 1") == [(n,) for n in (1, 2, 3, 4, 8)]


def test_another_mailrooms_data_stays(another: Database) -> None:
    """The upgrade drops no row, trigger or index of the other mailroom."""
    before = another.run("SELECT * FROM tokens ORDER BY id"), another.run("SELECT * FROM accounts ORDER BY id")
    named = {(kind, name) for kind, _, name, *_ in shape(another.connection) if kind in ("trigger", "index")}
    migrate(another)
    after = another.run("SELECT * FROM tokens ORDER BY id"), another.run("SELECT * FROM accounts ORDER BY id")
    assert after == before
    assert named <= {(kind, name) for kind, _, name, *_ in shape(another.connection)}


def test_another_mailrooms_times_outlive_2038(another: Database) -> None:
    """Its integer times become bigint, and their triggers still work."""
    migrate(another)
    another.run("UPDATE tokens SET expires_at = 4102444800 WHERE id = 8")
    another.run("UPDATE tokens SET consumed_at = 4102444800 WHERE id = 8")
    assert another.one("SELECT status FROM accounts WHERE login = 'u8'") == "active"


def test_another_mailrooms_sign_up_still_works(another: Database) -> None:
    """After the upgrade a sign-up creates one token and one delivery."""
    migrate(another)
    another.run("INSERT INTO accounts (email, login) VALUES ('new@b.c', 'new')")
    assert another.run(
        "SELECT d.state::text FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account"
        " WHERE a.login = 'new'"
    ) == [("pending",)]


def test_another_mailrooms_ledger_can_be_taken_down_again(another: Database) -> None:
    """Going down to version 0 leaves the other's schema and its notification working."""
    migrate(another)
    assert migrate(another, "--to 0 --yes").status == 0
    with another.connect() as listener:
        listener.execute("LISTEN token_insert")
        another.run("INSERT INTO accounts (email, login) VALUES ('new@b.c', 'new')")
        assert len(list(listener.notifies(timeout=10, stop_after=1))) == 1


def test_security_definer_functions_are_pinned_and_private(database: Database) -> None:
    """A function that runs as its owner has a fixed search_path or needs none (test_schema).

    PUBLIC may not execute it.
    """
    rows = database.run(
        "SELECT proname, proconfig, has_function_privilege('public', oid, 'execute')"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert len(rows) > 13
    assert not any(public for _, _, public in rows)
    unpinned = [name for name, config, _ in rows if "search_path=public, pg_temp" not in (config or [])]
    assert unpinned == ["mailroom_announce"]


def test_steps_in_another_schema_stay_there(empty: Database) -> None:
    """Run with another search_path, the migrations create everything in that schema, and it works."""
    empty.run("CREATE SCHEMA mail")
    url = empty.url + "&options=-csearch_path%3Dmail"
    result = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=url))
    assert result.status == 0, result.err
    empty.run("INSERT INTO mail.accounts (email, login, status) VALUES ('a@b.c', 'ann', 'active')")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO accounts (email, login) VALUES ('b@b.c', 'ben')")
        assert len(connection.execute("SELECT mailroom_claim_any('mailroom', 'me', 1000, 9)").fetchall()) == 1
