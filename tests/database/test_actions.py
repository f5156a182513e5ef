"""The table of actions: which rows it accepts, what can't be changed, and how the steps use it."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.migrator import Migrator
from mailroom_collector.sign.action import SHIPPED
from mailroom_sender.input.action import SHIPPED as SENT
from tests.database.test_migrations import shape
from tests.support.ledger import LEASE_MS, Steps, add_invitation
from tests.support.postgres import Connection, Database, Server

ACTIONS = next(one for one in migrations() if one.name == "actions")
BEFORE = max(one.version for one in migrations() if one.version < ACTIONS.version)
INVITE = "INSERT INTO tokens (action, account) SELECT 'invitation', id FROM accounts RETURNING id"
UNKNOWN = "its action is not in mailroom_actions"


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """Another session, that of an application."""
    with database.connect() as connection:
        yield connection


def test_first_rows_are_what_both_programs_know_without_a_database(database: Database) -> None:
    """The programs have the same number, name, prefix and template, and know whether the code is signed."""
    assert database.run("SELECT name::text, number, prefix, signs_code FROM mailroom_actions ORDER BY number") == [
        (one.name, one.number, one.prefix, one.signs_code) for one in SHIPPED
    ]
    assert database.run("SELECT number::text, name::text, template, signs_code FROM mailroom_actions ORDER BY 1") == [
        (one.number, one.name, one.template, one.needs_code) for one in SENT
    ]
    assert database.run("SELECT states::text[], lifetime FROM mailroom_actions ORDER BY number") == [
        (["provisioned"], 900),
        (["active"], 900),
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"number": "0"},
        {"number": "2"},
        {"number": "32768"},
        {"name": "activation"},
        {"name": "with space"},
        {"prefix": "invite"},
        {"prefix": "/"},
        {"prefix": ""},
        {"prefix": "/inv ite"},
        {"prefix": "/invité"},
        {"prefix": "/invite\n"},
        {"prefix": "/" + "i" * 63},
        {"states": "{}"},
        {"states": "{NULL}"},
        {"states": "{{active}}"},
        {"states": "{gone}"},
        {"template": ""},
        {"template": "invitation v1"},
        {"template": "i" * 65},
        {"lifetime": "0"},
        {"lifetime": "31536001"},
    ],
    ids=str,
)
def test_unusable_action_is_refused(database: Database, columns: dict[str, str]) -> None:
    """The table refuses a row that the programs could not use."""
    with pytest.raises((psycopg.errors.IntegrityError, psycopg.errors.DataError)):
        add_invitation(database, **columns)


@pytest.mark.parametrize("prefix", ["/act", "/activate", "/activate2", "/activate/again", "/recover1", "/r"])
def test_prefixes_that_begin_alike_are_refused(database: Database, prefix: str) -> None:
    """A signature for one action could be continued to one for another (test_signature).

    One insert of two rows is checked too.
    """
    with pytest.raises(psycopg.errors.CheckViolation, match=r"and that of another action, /[a-z]+, begin alike"):
        add_invitation(database, prefix=prefix)
    add_invitation(database)
    database.run("ALTER TYPE token_action ADD VALUE 'second'")
    database.run("ALTER TYPE token_action ADD VALUE 'third'")
    with pytest.raises(psycopg.errors.CheckViolation, match="begin alike"):
        database.run(
            "INSERT INTO mailroom_actions (number, name, prefix, states, template)"
            " VALUES (4, 'second', '/x', '{active}', 't'), (5, 'third', '/xy', '{active}', 't')"
        )


def test_two_sessions_cannot_add_prefixes_that_begin_alike(database: Database) -> None:
    """The second session waits for the first one, and then sees its row."""
    add_invitation(database)
    for name in ("second", "third"):
        database.run(f"ALTER TYPE token_action ADD VALUE '{name}'")
    insert = (
        "INSERT INTO mailroom_actions (number, name, prefix, states, template) VALUES (%s, %s, %s, '{active}', 't')"
    )
    with database.connect() as first, database.connect() as second:
        first.execute("BEGIN")
        first.execute(insert.encode(), (4, "second", "/x"))
        second.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute(insert.encode(), (5, "third", "/xy"))
        first.execute("COMMIT")
        with pytest.raises(psycopg.errors.CheckViolation):
            second.execute(insert.encode(), (5, "third", "/xy"))


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO mailroom_actions (number, name, prefix, states, template)"
        " VALUES (4, 'second', '/xy', '{active}', 't')",
        "UPDATE mailroom_actions SET lifetime = 60",
    ],
)
def test_transaction_that_would_not_see_what_others_added_is_refused(
    database: Database, other: Connection, level: str, change: str
) -> None:
    """Its snapshot would hide prefixes that begin alike, and the functions it writes would lack actions."""
    database.run("ALTER TYPE token_action ADD VALUE 'second'")
    other.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    other.execute("SELECT FROM accounts")
    add_invitation(database, prefix="/x")
    with pytest.raises(psycopg.errors.InvalidTransactionState, match="at isolation level READ COMMITTED only") as error:
        other.execute(change.encode())
    assert error.value.diag.message_hint == "BEGIN ISOLATION LEVEL READ COMMITTED"
    other.execute("ROLLBACK")
    assert database.run("SELECT mailroom_action_number('invitation'), mailroom_action_lifetime('invitation')") == [
        (3, 900)
    ]


def test_migration_runs_where_another_isolation_level_is_the_default(without: Database) -> None:
    """The migration sets its own isolation level."""
    without.run(f"ALTER DATABASE {without.name} SET default_transaction_isolation = 'serializable'")
    with without.connect() as connection:
        Migrator(connection).run(None)
    assert without.run("SELECT mailroom_action_number('activation')") == [(1,)]


def test_values_may_be_renamed(database: Database, steps: Steps) -> None:
    """A state and an action are renamed. Claims and inserts still work, in old and in new sessions."""
    if database.connection.info.server_version < 140000:
        pytest.skip("there the table must be changed afterwards, as docs/adding-an-action.md says")
    database.run("ALTER TYPE account_status ADD VALUE 'banned'")
    add_invitation(database, states="{banned}", lifetime="60")
    database.sign_up("ann")
    steps.claim()
    database.run("ALTER TYPE account_status RENAME VALUE 'banned' TO 'barred'")
    database.run("ALTER TYPE token_action RENAME VALUE 'invitation' TO 'invited'")
    database.run("UPDATE accounts SET status = 'barred'")
    insert = "INSERT INTO tokens (action, account) SELECT 'invited', id FROM accounts RETURNING id"
    with database.connect() as new:
        for session in (database.connection, new):
            token = session.execute(insert.encode()).fetchall()[0][0]
            assert Steps(session).claim() == [token]
    assert lives(database)[1:] == [60, 60]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE mailroom_actions SET number = 7 WHERE number = 2",
        "UPDATE mailroom_actions SET name = 'invitation' WHERE number = 2",
        "UPDATE mailroom_actions SET prefix = '/else' WHERE number = 2",
        "UPDATE mailroom_actions SET signs_code = false WHERE number = 2",
        "DELETE FROM mailroom_actions WHERE number = 2",
        "TRUNCATE mailroom_actions",
    ],
)
def test_what_lines_and_links_hold_cannot_change(database: Database, change: str) -> None:
    """Number, name, prefix and signs_code can't be changed, and no action can be deleted."""
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    with pytest.raises(psycopg.errors.RestrictViolation, match="stay"):
        database.run(change)


def test_states_are_judged_by_the_table_at_once(database: Database, steps: Steps) -> None:
    """Claim and begin use the new states, even in a session that planned its statements before the change."""
    add_invitation(database)
    tokens = database.sign_up("ann", "ben", "cid")
    assert steps.claim() == tokens
    assert steps.begin(tokens) == dict.fromkeys(tokens)
    invited = [token for (token,) in database.run(INVITE)]
    with database.connect() as admin:
        admin.execute("UPDATE mailroom_actions SET states = '{active}' WHERE name = 'invitation'")
        database.run("UPDATE accounts SET status = 'active' WHERE login <> 'ann'")
        assert steps.claim() == invited[1:]
        admin.execute("UPDATE mailroom_actions SET states = '{suspended}' WHERE name = 'invitation'")
    database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'ben'")
    assert steps.begin(invited[1:]) == {invited[1]: None, invited[2]: "the account is active"}


def test_takeover_uses_the_table(database: Database, steps: Steps) -> None:
    """The first acknowledging sender takes over the emitted tokens of every action that may still be mailed."""
    add_invitation(database)
    database.sign_up("ann", "ben")
    invited = [token for (token,) in database.run(INVITE)]
    steps.emitted(steps.claim())
    database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'ann'")
    database.run("UPDATE accounts SET status = 'active' WHERE login = 'ben'")
    assert steps.acknowledge() == 1
    assert steps.claim() == invited[:1]


def lives(database: Database) -> list[int]:
    return [life for (life,) in database.run("SELECT expires_at - created_at FROM tokens ORDER BY id")]


def test_token_lives_as_long_as_its_action_says(database: Database, other: Connection) -> None:
    """Any insert gives the action's lifetime, even of a session that planned the insert before."""
    add_invitation(database, lifetime="86400")
    other.execute("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
    other.execute(INVITE.encode())
    other.execute("CREATE TABLE invitations (account bigint)")
    other.execute(
        "CREATE FUNCTION invite() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO tokens (action, account) VALUES ('invitation', NEW.account); RETURN NEW; END $$"
    )
    other.execute("CREATE TRIGGER t AFTER INSERT ON invitations FOR EACH ROW EXECUTE FUNCTION invite()")
    other.execute("INSERT INTO invitations SELECT id FROM accounts")
    assert lives(database) == [900, 86400, 86400]
    database.run("UPDATE mailroom_actions SET lifetime = lifetime + 60")
    other.execute("INSERT INTO accounts (email, login) VALUES ('b@b.c', 'ben')")
    other.execute("INSERT INTO invitations SELECT id FROM accounts WHERE login = 'ben'")
    other.execute("INSERT INTO tokens (action, account) SELECT 'activation', id FROM accounts WHERE login = 'ben'")
    assert lives(database)[3:] == [960, 86460, 960]


@pytest.mark.parametrize("life", [1, 900, 100_000])
def test_expiry_given_by_an_insert_is_kept(database: Database, life: int) -> None:
    """This includes an expiry that equals the default."""
    add_invitation(database, lifetime="60")
    database.sign_up("ann")
    database.run(
        "INSERT INTO tokens (action, account, expires_at) SELECT 'invitation', id, mailroom_epoch() + %s FROM accounts",
        life,
    )
    assert lives(database)[1:] == [life]


def test_update_to_the_default_is_a_lifetime_from_now(database: Database) -> None:
    """DEFAULT gives the lifetime from now, as the former default expression did. Other updates are kept as they are."""
    add_invitation(database, lifetime="60")
    database.sign_up("ann")
    database.run(INVITE)
    database.run("UPDATE tokens SET expires_at = 1, created_at = 1")
    database.run("UPDATE tokens SET expires_at = DEFAULT")
    assert database.run("SELECT expires_at - mailroom_epoch() BETWEEN 50 AND 60 FROM tokens ORDER BY id") == [
        (False,),
        (True,),
    ]
    database.run("UPDATE tokens SET expires_at = created_at + 7")
    assert lives(database) == [7, 7]


def test_triggers_of_the_application_see_when_a_token_expires(database: Database) -> None:
    """mailroom's trigger fires before the application's triggers, whatever their names are."""
    database.run("CREATE TABLE seen (expires_at bigint)")
    database.run(
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO seen VALUES (NEW.expires_at); RETURN NEW; END $$"
    )
    for name in ("a", "A", "1", "_"):
        database.run(f'CREATE TRIGGER "{name}" BEFORE INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION see()')
    database.sign_up("ann")
    database.recovery("ann")
    assert database.one("SELECT count(*) FROM seen JOIN tokens USING (expires_at)") >= 8


def test_token_of_a_missing_action_waits(database: Database, steps: Steps) -> None:
    """It is neither claimed nor skipped, and is checked again after 5 s. An expired token is skipped."""
    (activation,) = database.sign_up("ann")
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    ((invited,),), ((late,),) = database.run(INVITE), database.run(INVITE)
    assert lives(database) == [900] * 3
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", late)
    assert steps.claim() == [activation]
    assert database.run("SELECT state::text, error, error_code FROM deliveries WHERE token = %s", invited) == [
        ("pending", UNKNOWN, "unlisted")
    ]
    assert database.state(late) == "skipped"
    (waiting, next_due_ms) = steps.check()
    assert waiting == 0
    assert next_due_ms is not None
    assert 0 < next_due_ms <= 5000
    add_invitation(database)
    assert steps.check()[0] == 1
    assert steps.claim() == [invited]
    assert database.run("SELECT error, error_code FROM deliveries WHERE token = %s", invited) == [(None, None)]
    assert steps.begin([invited]) == {invited: None}
    assert steps.settle(invited, "sent")
    assert database.one("SELECT last_seq FROM jobs") == invited


def due_in(database: Database, token: int) -> float:
    """Return in how many seconds the deliveries are due, as the last claim set it."""
    return float(
        database.one("SELECT extract(epoch FROM due_at - now())::float8 FROM deliveries WHERE token = %s", token)
    )


@pytest.mark.parametrize(("age", "wait"), [(0, 5), (4, 5), (30, 30), (600, 60)])
def test_token_whose_action_is_missing_waits_longer_the_older_it_is(
    database: Database, steps: Steps, age: int, wait: int
) -> None:
    """Many such tokens cost the server little until the action is inserted."""
    database.sign_up("ann")
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    ((invited,),) = database.run(INVITE)
    database.run("UPDATE tokens SET created_at = mailroom_epoch() - %s WHERE id = %s", age, invited)
    steps.claim()
    assert wait - 2 < due_in(database, invited) <= wait + 2


def test_added_action_ends_the_wait_of_its_tokens(database: Database, other: Connection, steps: Steps) -> None:
    """They are due at once, and a sleeping collector is notified. Tokens that wait for another reason still wait."""
    database.sign_up("ann", "ben")
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    invited = [token for (token,) in database.run(INVITE)]
    database.run("UPDATE tokens SET created_at = created_at - 600")
    activations = steps.claim()
    steps.begin(activations[:1])
    steps.settle(activations[0], "later", 60_000)
    other.execute("LISTEN token_insert")
    database.run("UPDATE mailroom_actions SET lifetime = 900")
    assert list(other.notifies(timeout=0.2)) == []
    assert steps.check()[0] == 0
    add_invitation(database)
    assert len(list(other.notifies(timeout=10, stop_after=1))) == 1
    assert steps.claim() == invited


# What version 0.1 sends (its ledger.py, both of them).
CLAIM_0_1 = (
    "SELECT token, action::text, email, login, secret, code, stale, doubt, acknowledged, due_at"
    " FROM mailroom_claim(%s::job_type, %s, %s::integer, %s::integer, %s::timestamptz, %s::bigint)"
)
BEGIN_0_1 = "SELECT place, token, attempt, refused FROM mailroom_begin(%s::job_type, %s, %s::integer, %s::bytea[])"


def test_collector_of_version_0_1_gets_the_two_actions_that_it_knows(database: Database, steps: Steps) -> None:
    """It leaves tokens of other actions to collectors that know them."""
    add_invitation(database)
    (activation,) = database.sign_up("ann")
    ((invited,),) = database.run(INVITE)
    ((stale,),) = database.run(INVITE)
    database.run("UPDATE tokens SET consumed_at = 1 WHERE id = %s", stale)
    rows = database.run(CLAIM_0_1, "mailroom", "old", LEASE_MS, 10, None, None)
    assert [(row[0], row[1], row[2], row[3], row[6]) for row in rows] == [
        (activation, "activation", "ann@example.com", "ann", None),
        (stale, None, "ann@example.com", "ann", "the token was consumed"),
    ]
    assert database.state(invited) == "pending"
    assert database.run("SELECT state::text, error FROM deliveries WHERE token = %s", invited) == [("pending", None)]
    assert 0 < due_in(database, invited) <= 3
    assert database.run(CLAIM_0_1, "mailroom", "old", LEASE_MS, 10, rows[-1][9], rows[-1][0]) == []
    database.run("UPDATE deliveries SET due_at = now() WHERE token = %s", invited)
    assert steps.claim() == [invited]
    recovery = database.recovery("ann")
    ((token, action, *_, due_at),) = database.run(CLAIM_0_1, "mailroom", "old", LEASE_MS, 10, None, None)
    assert (token, action) == (recovery, "password_recovery")
    assert due_at is not None
    secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens WHERE id = %s", recovery)]
    assert database.run(BEGIN_0_1, "mailroom", "old", LEASE_MS, secrets) == [(1, recovery, 1, None)]


@pytest.fixture
def without(server: Server) -> Iterator[Database]:
    """A database with everything except the table of actions."""
    database = Database(server, server.new_database(template="template1"))
    Migrator(database.connection).run(BEFORE)
    yield database
    database.close()


def test_roles_that_claim_or_begin_may_list_the_actions(without: Database) -> None:
    """The migration grants the new functions to the roles that may claim or begin, and to no other role."""
    collector, sender = (f"{name}_{time.time_ns()}" for name in ("collector", "sender"))
    try:
        for role, step in ((collector, "mailroom_claim"), (sender, "mailroom_begin")):
            without.run(f"CREATE ROLE {role}")
            without.run(f"GRANT EXECUTE ON FUNCTION {step} TO {role}")
        without.run(ACTIONS.up)
        assert without.run(
            "SELECT r, p.proname FROM unnest(ARRAY['public', %s, %s]) r, pg_proc p"
            " WHERE p.proname IN ('mailroom_list_actions', 'mailroom_claim_any')"
            " AND has_function_privilege(r, p.oid, 'execute') ORDER BY 1, 2",
            collector,
            sender,
        ) == [
            (collector, "mailroom_claim_any"),
            (collector, "mailroom_list_actions"),
            (sender, "mailroom_list_actions"),
        ]
    finally:
        for role in (collector, sender):
            without.run(f"DROP OWNED BY {role}")
            without.run(f"DROP ROLE {role}")


def test_sign_up_works_where_public_may_execute_no_function(without: Database) -> None:
    """An application's role may set the lifetime, even after the table changed."""
    role = f"application_{time.time_ns()}"
    without.run(f"CREATE ROLE {role}")
    try:
        without.run(f"GRANT SELECT, INSERT, UPDATE ON accounts, tokens TO {role}")
        without.run(f"GRANT USAGE ON SEQUENCE accounts_id_seq, tokens_id_seq TO {role}")
        without.run("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        without.run(ACTIONS.up)
        for lifetime in (900, 60):
            without.run("UPDATE mailroom_actions SET lifetime = %s", lifetime)
            with without.connect() as application:
                application.execute(f"SET ROLE {role}".encode())
                application.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (str(lifetime),) * 2)
                application.execute(INVITE.replace("invitation", "password_recovery").encode())
        assert lives(without) == [900, 900, 60, 60, 60]
    finally:
        without.run(f"DROP OWNED BY {role}")
        without.run(f"DROP ROLE {role}")


def test_migration_down_restores_the_version_before(without: Database) -> None:
    """Tables, defaults, functions and rights are restored. Waiting tokens of other actions fail with a reason."""
    before = shape(without.connection)
    without.run(ACTIONS.up)
    add_invitation(without)
    (activation,) = without.sign_up("ann")
    ((invited,),) = without.run(INVITE)
    without.run(ACTIONS.down)
    enum = [row for row in shape(without.connection) if row[2] != "invitation"]
    assert enum == before
    assert without.run("SELECT token, state::text, error FROM deliveries ORDER BY 1") == [
        (activation, "pending", None),
        (invited, "failed", "this version does not know the action invitation"),
    ]
    without.sign_up("ben")
    assert lives(without) == [900] * 3
