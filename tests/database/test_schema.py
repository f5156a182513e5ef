"""What the schema's triggers and defaults do."""

import collections
import time

import psycopg
import pytest

from tests.support.postgres import Database


def test_provisioned_account_has_its_token_and_delivery_after_the_same_statement(database: Database) -> None:
    """There is no account without its activation token, and no token without its delivery."""
    database.run("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
    assert database.run(
        "SELECT t.action::text, length(t.secret), t.code ~ '^[0-9]{5}$', t.expires_at - t.created_at, t.consumed_at,"
        " d.state::text FROM tokens t JOIN deliveries d ON d.token = t.id"
    ) == [("activation", 32, True, 900, None, "pending")]


def test_active_account_gets_no_activation(database: Database) -> None:
    """An account that is inserted as active needs no activation."""
    database.run("INSERT INTO accounts (email, login, status) VALUES ('a@b.c', 'ann', 'active')")
    assert database.one("SELECT count(*) FROM tokens") == 0


def test_token_may_come_before_its_account(database: Database) -> None:
    """An application may insert the token first, in the same transaction."""
    with database.connection.transaction():
        database.run("INSERT INTO tokens (action, account) VALUES ('password_recovery', 77)")
        database.run("INSERT INTO accounts (id, email, login, status) VALUES (77, 'a@b.c', 'ann', 'active')")
    assert database.states() == {"pending": 1}


def test_token_without_account_is_refused_at_commit(database: Database) -> None:
    """A token without its account can't be committed."""
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.run("INSERT INTO tokens (action, account) VALUES ('password_recovery', 77)")


def test_sign_up_uses_the_real_tables_whatever_the_application_has_of_their_names(database: Database) -> None:
    """No search_path, table, function or operator of the caller misleads a function that runs as its owner."""
    database.run("CREATE SCHEMA evil")
    for name in ("inserted", "tokens", "deliveries", "jobs"):
        database.run(f"CREATE TABLE evil.{name} (LIKE public.accounts)")
        database.run(f"CREATE TEMPORARY TABLE {name} (LIKE public.accounts)")
    for name in ("pg_advisory_xact_lock_shared", "pg_try_advisory_lock_shared", "pg_advisory_unlock_shared"):
        database.run(
            f"CREATE FUNCTION evil.{name}(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 1'"
        )
    wrong = "LANGUAGE plpgsql AS 'BEGIN RAISE division_by_zero; END'"
    for name, left, right, result in (
        *(("-", "timestamptz", "interval", "timestamptz"), ("*", "integer", "interval", "interval")),
        *(("+", "integer", "integer", "integer"), (">", "bigint", "integer", "boolean")),
        ("=", "public.token_action", "public.token_action", "boolean"),
    ):
        database.run(
            f"CREATE FUNCTION evil.wrong({left}, {right}) RETURNS {result} {wrong};"
            f"CREATE OPERATOR evil.{name} (FUNCTION = evil.wrong, LEFTARG = {left}, RIGHTARG = {right})"
        )
    database.run("SET search_path = pg_temp, evil, pg_catalog, public")
    database.run("INSERT INTO public.accounts (email, login) VALUES ('a@b.c', 'ann')")
    assert database.one("SELECT count(*) FROM public.deliveries d JOIN public.tokens t ON t.id = d.token") == 1


STATUS = "SELECT status::text, status_changed_at IS NOT NULL, activated_at IS NOT NULL, suspended_at IS NOT NULL,"
STATUS += " unsuspended_at IS NOT NULL FROM accounts"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], ("provisioned", False, False, False, False)),
        (["provisioned"], ("provisioned", False, False, False, False)),
        (["active"], ("active", True, True, False, False)),
        (["active", "suspended"], ("suspended", True, True, True, False)),
        (["active", "suspended", "active"], ("active", True, True, False, True)),
        (["active", "suspended", "active", "suspended"], ("suspended", True, True, True, False)),
        (["suspended"], ("suspended", True, False, True, False)),
        (["suspended", "active"], ("provisioned", True, False, False, True)),
    ],
)
def test_status_change_leaves_its_times(database: Database, steps: list[str], expected: tuple[object, ...]) -> None:
    """Each change of status sets exactly the times that the contract names."""
    database.sign_up("ann")
    for status in steps:
        database.run("UPDATE accounts SET status = %s", status)
    assert database.run(STATUS) == [expected]


def test_consumed_activation_activates(database: Database) -> None:
    """Consuming the activation token makes a provisioned account active."""
    (token,) = database.sign_up("ann")
    database.run("UPDATE tokens SET consumed_at = 5 WHERE id = %s", token)
    assert database.run(STATUS) == [("active", True, True, False, False)]


def test_consumed_activation_leaves_a_suspended_account_alone(database: Database) -> None:
    """A link does not reactivate a suspended account."""
    (token,) = database.sign_up("ann")
    database.run("UPDATE accounts SET status = 'suspended'")
    database.run("UPDATE tokens SET consumed_at = 5 WHERE id = %s", token)
    assert database.one("SELECT status FROM accounts") == "suspended"


def test_consumed_recovery_changes_nothing(database: Database) -> None:
    """Consuming a recovery does not activate an account."""
    database.sign_up("ann")
    database.run("INSERT INTO tokens (action, account, consumed_at) SELECT 'password_recovery', id, NULL FROM accounts")
    database.run("UPDATE tokens SET consumed_at = 5 WHERE action = 'password_recovery'")
    assert database.one("SELECT status FROM accounts") == "provisioned"


def test_codes_are_spread_over_all_five_digits(database: Database) -> None:
    """Codes are uniform from 00000 to 99999: the chi-square of each digit stays small."""
    rows = database.run("SELECT mailroom_random_code() FROM generate_series(1, 20000)")
    for place in range(5):
        counts = collections.Counter(code[place] for (code,) in rows)
        chi_square = sum((counts[digit] - 2000) ** 2 / 2000 for digit in "0123456789")
        # Nine degrees of freedom: above 60 by chance once in a billion.
        assert chi_square < 60, (place, counts)


def test_secrets_differ_in_every_bit(database: Database) -> None:
    """No bit of a secret is fixed, as those of a bare UUID are."""
    rows = database.run("SELECT mailroom_random_secret() FROM generate_series(1, 2000)")
    seen_one, seen_zero = 0, 0
    for (secret,) in rows:
        number = int.from_bytes(secret)
        seen_one |= number
        seen_zero |= ~number & (2**256 - 1)
    assert len(set(rows)) == 2000
    assert seen_one == seen_zero == 2**256 - 1


def test_times_outlive_2038(database: Database) -> None:
    """A token may expire after the largest time that an integer can hold."""
    database.sign_up("ann")
    database.run("UPDATE tokens SET expires_at = 4102444800")
    assert database.one("SELECT expires_at FROM tokens") == 4102444800


@pytest.mark.parametrize(
    ("statement", "notifications"),
    [
        ("INSERT INTO accounts (email, login) SELECT n || '@b.c', n FROM generate_series(1, 100) n", 1),
        ("INSERT INTO accounts (email, login) SELECT 'a@b.c', 'a' WHERE false", 0),
    ],
)
def test_inserted_tokens_notify_once(database: Database, statement: str, notifications: int) -> None:
    """A statement that inserts tokens notifies once, for any number of tokens.

    A statement that inserts none does not.
    """
    with database.connect() as listener:
        listener.execute("LISTEN token_insert")
        database.run(statement)
        database.run("NOTIFY token_insert, 'end'")
        payloads = [note.payload for note in listener.notifies(timeout=10, stop_after=notifications + 1)]
    assert payloads == [""] * notifications + ["end"]


def test_deleted_account_deletes_tokens_and_deliveries(database: Database) -> None:
    """Deleting an account leaves neither tokens nor deliveries."""
    database.sign_up("ann")
    database.run("DELETE FROM accounts")
    assert database.run("SELECT (SELECT count(*) FROM tokens), (SELECT count(*) FROM deliveries)") == [(0, 0)]


def test_application_needs_no_right_to_the_ledger(database: Database) -> None:
    """A role that may only write accounts and tokens can sign people up, and can't read the ledger."""
    role = f"app_{time.time_ns()}"
    database.run(f"CREATE ROLE {role}")
    try:
        database.run(f"GRANT SELECT, INSERT ON accounts, tokens TO {role}")
        database.run(f"GRANT USAGE ON SEQUENCE accounts_id_seq, tokens_id_seq TO {role}")
        with database.connect() as application:
            application.execute(f"SET ROLE {role}".encode())
            application.execute("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute("SELECT FROM deliveries")
        assert database.states() == {"pending": 1}
    finally:
        database.run(f"DROP OWNED BY {role}")
        database.run(f"DROP ROLE {role}")
