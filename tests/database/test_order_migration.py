"""6_order on a database that has waiting mails: what waits gets its place, and going down gives it back."""

import time
from collections.abc import Iterator

import pytest

from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.migrator import Migrator
from tests.database.test_migrations import ANOTHER_MAILROOM, shape
from tests.support.ledger import Steps
from tests.support.postgres import Database, Server

AFTER = next(one.version for one in migrations() if one.name == "order")
BEFORE = AFTER - 1
PLACE = "queued_at - (head_start + 3600) * interval '1 s'"


@pytest.fixture
def empty(server: Server) -> Iterator[Database]:
    database = Database(server, server.new_database(template="template1"))
    yield database
    database.close()


@pytest.fixture
def waiting(empty: Database) -> Database:
    """The version before: an import of accounts 1 to 12, single sign-ups 13 to 18, and a recovery of account 19."""
    Migrator(empty.connection).run(BEFORE)
    empty.sign_up_many(12)
    for login in ("one", "two", "claimed", "sending", "later", "sent"):
        empty.sign_up(login)
    empty.run("INSERT INTO accounts (email, login, status) VALUES ('a@b.c', 'ann', 'active')")
    empty.run("INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts WHERE login = 'ann'")
    for token, state, due, settled in (
        *((15, "claimed", "60 s", None), (16, "sending", "60 s", None)),
        *((17, "pending", "60 s", None), (18, "sent", "0", "now")),
    ):
        empty.run(
            "UPDATE deliveries SET state = %s, due_at = now() + %s::interval, settled_at = %s::timestamptz"
            " WHERE token = %s",
            *(state, due, settled, token),
        )
    # Made by 1_ledger, before there was the column.
    empty.run("UPDATE deliveries SET queued_at = NULL WHERE token IN (1, 18)")
    empty.run("UPDATE tokens SET created_at = created_at - 100 WHERE id = 1")
    return empty


def migrate(database: Database, version: int) -> None:
    Migrator(database.connection).run(version)


def test_what_waits_is_claimed_in_order(waiting: Database) -> None:
    """A recovery, then single sign-ups, then the import. A row without a time counts as single."""
    steps = Steps(waiting.connection)
    migrate(waiting, AFTER)
    assert steps.claim(100) == [19, 1, 13, 14, *range(2, 13)]


def test_migration_leaves_leases_and_what_is_settled(waiting: Database) -> None:
    """A lease and a delay end when they would have. What is settled is not written."""
    unchanged = "SELECT token, state::text, due_at, ctid::text FROM deliveries WHERE token = 18"
    times = "SELECT token, state::text, due_at FROM deliveries WHERE token IN (15, 16, 17) ORDER BY 1"
    before = waiting.run(unchanged), waiting.run(times)
    migrate(waiting, AFTER)
    assert (waiting.run(unchanged), waiting.run(times)) == before
    query = f"SELECT DISTINCT head_start, lifetime, due_at = {PLACE} FROM deliveries WHERE token BETWEEN %s AND %s"
    assert waiting.run(query, 2, 12) == [(0, None, True)]
    assert waiting.run(query, 13, 14) == [(43200, None, True)]
    assert waiting.run(query, 15, 17) == [(43200, None, False)]
    assert waiting.run(query, 19, 19) == [(86400, None, True)]


def test_down_and_up_again_lose_no_place(waiting: Database) -> None:
    """The version before claims by age. What has not come back is due from its insert again."""
    before = shape(waiting.connection)
    ages = "SELECT token, due_at FROM deliveries WHERE token NOT IN (1, 18) ORDER BY 1"
    due = waiting.run(ages)
    migrate(waiting, AFTER)
    whole = shape(waiting.connection)
    places = waiting.run("SELECT * FROM deliveries ORDER BY token")
    migrate(waiting, BEFORE)
    assert shape(waiting.connection) == before
    assert waiting.run(ages) == due
    with waiting.connection.transaction(force_rollback=True):
        assert Steps(waiting.connection).claim(100) == [*range(1, 15), 19]
    migrate(waiting, AFTER)
    assert shape(waiting.connection) == whole
    assert [row[1] for row in waiting.run("SELECT * FROM deliveries ORDER BY token")] == [row[1] for row in places]
    assert Steps(waiting.connection).claim(100) == [19, 1, 13, 14, *range(2, 13)]


def test_going_down_keeps_what_waits_for_its_mail(waiting: Database) -> None:
    """A life that would begin with the mail goes on until its longest wait is over."""
    migrate(waiting, AFTER)
    waiting.run("UPDATE mailroom_actions SET life_from = 'mail', longest_wait = 5000")
    waiting.sign_up("late")
    migrate(waiting, BEFORE)
    seconds = waiting.one("SELECT max(expires_at) - mailroom_epoch() FROM tokens")
    assert seconds == pytest.approx(5900, abs=10)


def test_index_of_an_account_and_action_replaces_that_of_an_account(waiting: Database) -> None:
    """An operator may have made the new one before, with CREATE INDEX CONCURRENTLY."""
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'tokens' AND indexdef LIKE '%(account%' ORDER BY 1"
    waiting.run("CREATE INDEX CONCURRENTLY tokens_account_action ON tokens (account, action, id)")
    migrate(waiting, AFTER)
    assert waiting.run(indexes) == [("tokens_account_action",)]
    migrate(waiting, BEFORE)
    assert waiting.run(indexes) == [("tokens_account",)]


def test_roles_of_the_programs_may_call_the_new_functions(waiting: Database) -> None:
    """The migration grants them to whoever may claim or begin, and to nobody else."""
    collector, sender, other = (f"{name}_{time.time_ns()}" for name in ("collector", "sender", "other"))
    new = (
        *("mailroom_due", "mailroom_held", "mailroom_action_settings", "mailroom_give_back", "mailroom_share_rate"),
        "mailroom_may_mail",
    )
    try:
        for role, steps in (
            (collector, "mailroom_claim_any, mailroom_list_actions"),
            (sender, "mailroom_begin_rows, mailroom_list_actions"),
            (other, "mailroom_oldest"),
        ):
            waiting.run(f"CREATE ROLE {role}; GRANT EXECUTE ON FUNCTION {steps} TO {role}")
        migrate(waiting, AFTER)
        granted = waiting.run(
            "SELECT r, array_agg(p.proname::text ORDER BY p.proname) FROM unnest(%s::text[]) r, pg_proc p"
            " WHERE p.proname = ANY (%s) AND has_function_privilege(r, p.oid, 'execute') GROUP BY 1 ORDER BY 1",
            *([collector, sender, other], list(new)),
        )
        assert granted == [
            (collector, ["mailroom_action_settings", "mailroom_due", "mailroom_held"]),
            (sender, ["mailroom_action_settings", "mailroom_give_back", "mailroom_share_rate"]),
        ]
    finally:
        for role in (collector, sender, other):
            waiting.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_sign_up_works_where_public_may_execute_no_new_function(waiting: Database) -> None:
    """An application's role inserts accounts and tokens without a right to the ledger."""
    role = f"application_{time.time_ns()}"
    waiting.run(f"CREATE ROLE {role}")
    try:
        waiting.run(f"GRANT SELECT, INSERT, UPDATE ON accounts, tokens TO {role}")
        waiting.run(f"GRANT USAGE ON SEQUENCE accounts_id_seq, tokens_id_seq TO {role}")
        waiting.run("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        migrate(waiting, AFTER)
        for number, change in enumerate(("head_start = 1", "life_from = 'mail', most_mails = 1, urgent = true")):
            waiting.run(f"UPDATE mailroom_actions SET {change}")
            with waiting.connect() as application:
                application.execute(f"SET ROLE {role}".encode())
                application.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (f"x{number}",) * 2)
                application.execute(
                    "INSERT INTO tokens (action, account) SELECT 'password_recovery', max(id) FROM accounts"
                )
        assert waiting.one("SELECT count(*) FROM deliveries") == 19 + 4
    finally:
        waiting.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_another_mailrooms_database_gets_the_order(empty: Database) -> None:
    """Its own trigger gives each account a token, by a statement of its own: so these are no import."""
    empty.run(ANOTHER_MAILROOM.read_text())
    empty.run("INSERT INTO accounts (email, login) SELECT n || '@b.c', 'u' || n FROM generate_series(1, 3) n")
    # That mailroom rounds its times to whole seconds, so they may be half a second in the future.
    empty.run("UPDATE tokens SET created_at = created_at - 1")
    migrate(empty, AFTER)
    empty.run("INSERT INTO accounts (email, login) SELECT n || '@b.c', 'u' || n FROM generate_series(4, 15) n")
    empty.run("UPDATE accounts SET status = 'active' WHERE login = 'u1'")
    insert = "INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts WHERE login = 'u1'"
    for _ in range(2):
        empty.run(insert)
    assert Steps(empty.connection).claim(100) == [17, *range(2, 16)]
    assert empty.run("SELECT token, error FROM deliveries WHERE state = 'skipped' ORDER BY 1") == [
        (1, "the account is active"),
        (16, "a newer token took its place"),
    ]
    assert empty.one(
        "SELECT indexdef LIKE '%(account, action, id)' FROM pg_indexes WHERE indexname = 'tokens_account_action'"
    )
