"""What the ledger guards against: old addresses, copies, hidden rows, locks of other roles, and unknown outcomes."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.migrator import Migrator
from tests.support.ledger import LEASE_MS, Steps, add_invitation, race
from tests.support.postgres import Connection, Database, Server
from tests.support.waiting import until

ROW = "SELECT state::text, attempts, doubts, holder, settled_at IS NULL, due_at <= now() FROM deliveries"
BACK = ("pending", 0, 0, None, True, True)


@pytest.fixture
def listener(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        connection.execute("LISTEN token_insert")
        yield connection


def was_notified(listener: Connection) -> bool:
    listener.execute("SELECT")
    return bool(list(listener.notifies(timeout=0)))


# The address at the moment of the call


def begin(database: Database, *emails: str | None, holder: str = "me") -> list[tuple[str, str | None]]:
    """Begin all tokens in order with these addresses."""
    secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens ORDER BY id")]
    rows = database.run(
        "SELECT code, reason FROM mailroom_begin_rows('mailroom', %s, %s, %s, %s)",
        holder,
        LEASE_MS,
        secrets,
        [None if email is None else email.encode() for email in emails],
    )
    return [(code, reason) for code, reason in rows]


def test_begin_compares_each_address(database: Database, steps: Steps, listener: Connection) -> None:
    """If the account has another address now, the row is released, due at once, and keeps its attempts."""
    ann, _ = database.sign_up("ann", "ben")
    steps.claim()
    database.run("UPDATE accounts SET email = 'new@example.com' WHERE login = 'ann'")
    was_notified(listener)
    assert begin(database, "ann@example.com", "ben@example.com") == [
        ("changed", "its account has another address now"),
        ("begun", None),
    ]
    assert database.run(f"{ROW} WHERE token = %s", ann) == [BACK]
    assert was_notified(listener)
    assert steps.claim() == [ann]
    assert begin(database, "new@example.com", "ben@example.com") == [("begun", None)] * 2


def test_address_that_changes_within_a_split_batch_costs_no_attempt(database: Database, steps: Steps) -> None:
    """SES refused the first call, so no mail was sent."""
    database.sign_up("ann")
    steps.claim()
    assert begin(database, "ann@example.com")[0][0] == "begun"
    database.run("UPDATE accounts SET email = 'new@example.com'")
    assert begin(database, "ann@example.com")[0][0] == "changed"
    assert database.run(ROW) == [BACK]


def test_row_whose_address_never_agrees_is_retried_slowly(database: Database, steps: Steps) -> None:
    """A program that prints another address than the ledger's does not keep the database busy."""
    database.sign_up("ann")
    for due in (True, False):
        steps.claim()
        assert begin(database, "ANN@example.com")[0][0] == "changed"
        assert database.one("SELECT due_at <= now() FROM deliveries") is due


def test_functions_act_on_the_code_and_not_on_the_words(database: Database, steps: Steps) -> None:
    """The code is set and removed together with its words. The words alone, which SES may send too, mean nothing."""
    words = "its account has another address now"
    seen = "SELECT error, error_code FROM deliveries"
    database.sign_up("ann")
    steps.claim()
    assert begin(database, "ANN@example.com")[0][0] == "changed"
    assert database.run(seen) == [(words, "changed")]
    steps.claim()
    assert database.run(seen) == [(words, "changed")]
    steps.begin([1])
    steps.settle(1, "later")
    assert database.run(seen) == [("why", None)]
    database.run("UPDATE deliveries SET error = %s, due_at = now()", words)
    steps.claim()
    assert begin(database, "ANN@example.com")[0][0] == "changed"
    assert database.one("SELECT due_at <= now() FROM deliveries") is True
    steps.claim()
    steps.reject(1, "its login is no good")
    assert database.run(seen) == [("its login is no good", None)]


def test_skipped_row_keeps_no_code(database: Database, steps: Steps) -> None:
    """A claim or a begin skips it. The reason of its last try is kept in words only."""
    database.sign_up("ann", "ben")
    database.run("UPDATE deliveries SET error = 'why', error_code = 'changed'")
    assert steps.claim(1) == [1]
    database.run("UPDATE tokens SET expires_at = 1")
    steps.begin([1])
    steps.claim()
    assert database.run("SELECT error, error_code FROM deliveries") == [("the token expired; last try: why", None)] * 2


def test_begin_without_addresses_compares_none(database: Database, steps: Steps) -> None:
    """A sender of the version before gives no addresses."""
    database.sign_up("ann")
    steps.claim()
    assert begin(database, None) == [("begun", None)]


@pytest.mark.parametrize(("encoding", "email"), [("LATIN1", "é@example.com"), ("SQL_ASCII", "é\\@example.com")])
def test_addresses_are_compared_in_any_encoding(server: Server, encoding: str, email: str) -> None:
    """They are compared as UTF-8 bytes.

    An address that the database can't store counts as different and raises no error.
    """
    with server.connect("postgres") as admin:
        name = f"guards_{encoding.lower()}"
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    database = Database(server, name)
    try:
        database.run("SET client_encoding = 'UTF8'")
        Migrator(database.connection).run(None)
        database.run("INSERT INTO accounts (email, login) VALUES (%s, 'ann')", email)
        Steps(database.connection).claim()
        assert begin(database, email)[0][0] == "begun"
        assert begin(database, "日本@example.com")[0][0] == "changed"
    finally:
        database.close()


# Pause


def test_paused_queue_hands_out_and_begins_nothing(database: Database, steps: Steps) -> None:
    """Claimed rows are released when their sender wants to begin them. No row is lost."""
    claimed, waiting = database.sign_up("ann", "ben")
    steps.claim(1)
    ((since, sending),) = database.run("SELECT * FROM mailroom_pause('mailroom', 'why')")
    assert sending == 0
    assert steps.check() == (0, None)
    assert steps.claim() == []
    assert steps.begin([claimed]) == {claimed: "the queue is paused"}
    assert database.run(f"{ROW} ORDER BY token") == [BACK] * 2
    assert database.run("SELECT paused_at, paused_reason FROM mailroom_watch('mailroom')") == [(since, "why")]
    assert database.run("SELECT paused_at, paused_reason FROM mailroom_queue_status('mailroom')") == [(since, "why")]
    assert database.one("SELECT mailroom_resume('mailroom')") == since
    assert steps.claim() == [claimed, waiting]
    assert steps.begin([claimed]) == {claimed: None}


def test_begun_row_is_settled_while_paused(database: Database, steps: Steps) -> None:
    """A call in progress ends normally. A row to be tried again waits for the end of the pause."""
    ann, ben = database.sign_up("ann", "ben")
    steps.claim()
    steps.begin([ann, ben])
    assert database.run("SELECT sending FROM mailroom_pause('mailroom', NULL)") == [(2,)]
    assert steps.settle(ann, "sent")
    assert steps.settle(ben, "later")
    assert steps.begin([ben]) == {ben: "the queue is paused"}
    assert database.states() == {"sent": 1, "pending": 1}


def test_pause_and_resume_notify(database: Database, listener: Connection) -> None:
    """Collectors poll at once. A second pause keeps the time and changes the reason. A second resume returns null."""
    since = database.one("SELECT paused_at FROM mailroom_pause('mailroom', 'why')")
    assert was_notified(listener)
    assert database.one("SELECT paused_at FROM mailroom_pause('mailroom', 'else')") == since
    assert database.one("SELECT paused_reason FROM jobs") == "else"
    was_notified(listener)
    database.run("SELECT mailroom_resume('mailroom')")
    assert was_notified(listener)
    assert database.one("SELECT mailroom_resume('mailroom')") is None


def test_programs_of_the_version_before_are_paused_too(database: Database, steps: Steps) -> None:
    """They call other functions of the same ledger."""
    (token,) = database.sign_up("ann")
    steps.claim()
    database.run("SELECT mailroom_pause('mailroom', NULL)")
    secret = database.one("SELECT secret FROM tokens")
    assert database.run("SELECT token, refused FROM mailroom_begin('mailroom', 's', 1000, %s)", [secret]) == [
        (token, "the queue is paused")
    ]
    assert database.run("SELECT * FROM mailroom_claim('mailroom', 'c', 1000, 10)") == []


# What comes from a dump


@pytest.mark.parametrize(("age", "tokens"), [(0, 1), (890, 1), (901, 0), (10**8, 0)])
def test_account_older_than_the_lifetime_of_a_token_gets_none(database: Database, age: int, tokens: int) -> None:
    """Such an account was restored or copied."""
    database.run("INSERT INTO accounts (email, login, created_at) VALUES ('a@b.c', 'ann', mailroom_epoch() - %s)", age)
    assert database.one("SELECT count(*) FROM tokens") == tokens


def test_restored_rows_make_no_mail(database: Database, server: Server) -> None:
    """COPY inserts old provisioned accounts and their old tokens, as pg_restore --data-only does."""
    database.run(
        "INSERT INTO accounts (email, login) SELECT n || '@b.c', n FROM generate_series(1, 40) n;"
        " UPDATE accounts SET created_at = created_at - 86400;"
        " UPDATE tokens SET created_at = created_at - 86400, expires_at = expires_at - 86400"
    )
    copy = Database(server, server.new_database())
    try:
        for table in ("accounts", "tokens"):
            with (
                database.connection.cursor().copy(f"COPY {table} TO STDOUT") as source,
                copy.connection.cursor().copy(f"COPY {table} FROM STDIN") as target,
            ):
                for data in source:
                    target.write(data)
        assert copy.one("SELECT count(*) FROM tokens") == 40
        assert Steps(copy.connection).claim(100) == []
        assert copy.states() == {"skipped": 40}
    finally:
        copy.close()


# Row-level security


@pytest.fixture
def guarded(server: Server) -> Iterator[Database]:
    """A schema whose owner is not a superuser."""
    owner = f"owner_{time.time_ns()}"
    database = Database(server, server.new_database(template="template1"))
    database.run(f"CREATE ROLE {owner}; GRANT CREATE, USAGE ON SCHEMA public TO {owner}")
    with database.connect() as connection:
        connection.execute(f"SET ROLE {owner}".encode())
        Migrator(connection).run(None)
    yield database
    database.run(f"REASSIGN OWNED BY {owner} TO postgres; DROP OWNED BY {owner}")
    database.close()
    with server.connect("postgres") as admin:
        admin.execute(f"DROP ROLE {owner}".encode())


@pytest.mark.parametrize("table", ["accounts", "tokens", "deliveries", "jobs", "mailroom_actions"])
def test_hidden_rows_make_steps_fail_instead_of_skipping_mail(guarded: Database, table: str) -> None:
    """Under FORCE ROW LEVEL SECURITY no step decides on rows that it can't see. When that ends, mail flows again."""
    steps = Steps(guarded.connection)
    tokens = guarded.sign_up("ann", "ben")
    guarded.run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    step = "mailroom_list_actions()" if table == "mailroom_actions" else "mailroom_claim_any('mailroom', 'me', 1000, 9)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security") as error:
        guarded.run(f"SELECT {step}")
    assert error.value.diag.source_file == "rls.c"  # by which the programs know it (postgres/connection.py)
    guarded.run(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    assert steps.claim() == tokens
    guarded.run(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    if table in ("accounts", "tokens", "deliveries", "jobs"):
        secrets = [secret for (secret,) in guarded.run("SELECT secret FROM tokens")]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            guarded.run("SELECT mailroom_begin_rows('mailroom', 'me', 1000, %s, NULL)", secrets)
    assert guarded.states() == {"claimed": 2}
    if table in ("deliveries", "jobs"):  # else there would be a token that no queue knows of
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            guarded.sign_up("cid")


def test_every_step_refuses_hidden_rows(database: Database) -> None:
    """Every function that runs as its owner does, except those that would slow down each sign-up."""
    assert database.run(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        " AND NOT coalesce('row_security=off' = ANY (proconfig), false)"
    ) == [("mailroom_announce",)]


# Locks that others can take


@pytest.mark.parametrize("lock", ["pg_advisory_lock", "pg_advisory_lock_shared"])
@pytest.mark.parametrize("number", [1, 2])
def test_sign_up_waits_for_no_lock_of_a_stranger(
    database: Database, steps: Steps, listener: Connection, lock: str, number: int
) -> None:
    """It notifies. While another role holds lock 2 exclusively, inserts skip NOTIFY, and mailroom_watch says so."""
    with database.connect() as stranger, database.connect() as application:
        stranger.execute(f"SELECT {lock}(1835100524, {number})".encode())
        application.execute("SET statement_timeout = '2s'")
        application.execute("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
        skips_notify = (lock, number) == ("pg_advisory_lock", 2)
        assert was_notified(listener) is not skips_notify
        assert database.one("SELECT attended FROM mailroom_watch('mailroom')") is skips_notify
        assert len(steps.claim()) == 1


def test_action_is_added_whatever_lock_a_stranger_has(database: Database) -> None:
    """It waits only for other sessions that add an action."""
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    with database.connect() as stranger:
        stranger.execute("SELECT pg_advisory_lock(1835100524, 3)")
        database.run("SET statement_timeout = '2s'")
        database.run(
            "INSERT INTO mailroom_actions (number, name, prefix, states, template)"
            " VALUES (3, 'invitation', '/invite', '{active}', 'invitationv1')"
        )


# Which sender has begun which row


def test_settle_records_nothing_that_its_holder_has_not_begun(database: Database, steps: Steps) -> None:
    """This holds for each state of the row and each outcome."""
    tokens = database.sign_up("pending", "claimed", "emitted", "skipped", "failed", "sending")
    database.run(
        "UPDATE deliveries SET holder = 'x', settled_at = CASE WHEN a.login::delivery_state > 'sending' THEN now() END,"
        " state = a.login::delivery_state FROM tokens t JOIN accounts a ON a.id = t.account"
        " WHERE t.id = token AND a.login <> 'pending'"
    )
    database.run("UPDATE deliveries SET holder = NULL, state = 'pending' WHERE token = %s", tokens[0])
    before = database.run("SELECT * FROM deliveries ORDER BY token")
    for outcome in ("sent", "failed", "later", "unknown", "release"):
        assert [steps.settle_code(token, outcome) for token in tokens] == ["missed"] * 6
    assert database.run("SELECT * FROM deliveries ORDER BY token") == before


@pytest.mark.parametrize("version", ["old", "new"])
def test_late_sent_of_the_last_begin_is_recorded(database: Database, version: str) -> None:
    """It is recorded even if a collector has claimed the row again, by the functions of either version."""
    (token,) = database.sign_up("ann")
    slow, other = Steps(database.connection, "slow"), Steps(database.connection, "other")
    slow.claim()
    if version == "old":
        secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens")]
        database.run("SELECT mailroom_begin('mailroom', 'slow', 1000, %s)", secrets)
    else:
        slow.begin([token])
    database.run("UPDATE deliveries SET due_at = now()")
    assert other.claim() == [token]
    assert not other.settle(token, "sent")
    assert slow.settle(token, "sent")
    assert database.state(token) == "sent"


def test_late_sent_of_an_earlier_begin_is_ignored(database: Database) -> None:
    """The row failed, or waits to be tried again. Only the last call that began it counts."""
    tokens = database.sign_up("failed", "later")
    slow, other = Steps(database.connection, "slow"), Steps(database.connection, "other")
    slow.claim()
    slow.begin(tokens)
    database.run("UPDATE deliveries SET due_at = now()")
    other.claim()
    other.begin(tokens)
    other.settle(tokens[0], "failed")
    other.settle(tokens[1], "later", 60_000)
    assert [slow.settle_code(token, "sent") for token in tokens] == ["missed"] * 2
    assert [database.state(token) for token in tokens] == ["failed", "pending"]


def test_first_outcome_of_a_call_is_kept(database: Database, steps: Steps) -> None:
    """A row that its own call recorded as failed stays failed."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    assert steps.settle(token, "failed")
    assert steps.settle_code(token, "sent") == "missed"
    assert database.state(token) == "failed"


def test_sender_of_an_unknown_queue_gets_an_error(database: Database, steps: Steps) -> None:
    """Otherwise it would run as if it acknowledged."""
    database.run("DELETE FROM jobs")
    with pytest.raises(psycopg.errors.NoDataFound, match="no row mailroom in jobs"):
        steps.acknowledge()


def test_migration_keeps_the_begun_rows_of_the_version_before(server: Server) -> None:
    """A sender that is calling SES during the migration can still record later what it sent."""
    database = Database(server, server.new_database(template="template1"))
    try:
        for migration in migrations()[:5]:
            with database.connection.transaction():
                database.run(migration.up)
        database.sign_up("ann")
        database.run("SELECT mailroom_claim_any('mailroom', 'c', 1000, 1)")
        secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens")]
        database.run("SELECT mailroom_begin('mailroom', 'old', 1000, %s)", secrets)
        with database.connection.transaction():
            database.run(migrations()[5].up)
        database.run("UPDATE deliveries SET due_at = now()")
        database.run("SELECT mailroom_claim_any('mailroom', 'c', 1000, 1)")
        assert Steps(database.connection, "old").settle(1, "sent")
    finally:
        database.close()


def test_migration_adds_the_code_to_rows_that_wait_for_their_action(server: Server) -> None:
    """The version before marked them by words. An action that is added afterwards ends their wait."""
    database = Database(server, server.new_database(template="template1"))
    try:
        for migration in migrations()[:5]:
            with database.connection.transaction():
                database.run(migration.up)
        database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
        database.run("INSERT INTO accounts (email, login, status) VALUES ('a@b.c', 'ann', 'active')")
        database.run("INSERT INTO tokens (action, account) VALUES ('invitation', 1)")
        database.run("SELECT mailroom_claim_any('mailroom', 'c', 1000, 1)")
        with database.connection.transaction():
            database.run(migrations()[5].up)
        assert database.run("SELECT error_code FROM deliveries") == [("unlisted",)]
        add_invitation(database, states="{active}")
        assert Steps(database.connection).claim() == [1]
        assert database.run("SELECT error, error_code FROM deliveries") == [(None, None)]
    finally:
        database.close()


def test_roles_are_granted_the_functions_that_replace_theirs(server: Server) -> None:
    """Each role is granted the functions that its program calls now, and no others."""
    given = {
        "collector": "mailroom_claim_any",
        "sender": "mailroom_begin, mailroom_settle",
        "monitor": "mailroom_queue",
        "operator": "mailroom_retry",
    }
    database = Database(server, server.new_database(template="template1"))
    stamp = time.time_ns()
    try:
        for migration in migrations()[:5]:
            with database.connection.transaction():
                database.run(migration.up)
        for role, steps in given.items():
            database.run(f"CREATE ROLE {role}_{stamp}; GRANT EXECUTE ON FUNCTION {steps} TO {role}_{stamp}")
        with database.connection.transaction():
            database.run(migrations()[5].up)
        got = {
            role: {
                name
                for (name,) in database.run(
                    "SELECT proname FROM pg_proc WHERE prosecdef AND has_function_privilege(%s, oid, 'EXECUTE')",
                    f"{role}_{stamp}",
                )
            }
            - set(steps.split(", "))
            for role, steps in given.items()
        }
        assert got == {
            "collector": {"mailroom_watch"},
            "sender": {"mailroom_begin_rows", "mailroom_settle_rows", "mailroom_watch"},
            "monitor": {"mailroom_queue_status"},
            "operator": {"mailroom_pause", "mailroom_resume", "mailroom_retry_rows"},
        }
    finally:
        for role in given:
            database.run(f"DROP OWNED BY {role}_{stamp}; DROP ROLE {role}_{stamp}")
        database.close()


# Durability, notifications, several queues, the order of additions


@pytest.mark.parametrize("default", ["on", "off"])
def test_steps_that_prevent_doubles_wait_for_the_disk(database: Database, steps: Steps, default: str) -> None:
    """begin and settle do so even if synchronous_commit is off. Claim, extend and release need not."""
    (token,) = database.sign_up("ann")
    setting = "SELECT current_setting('synchronous_commit')"
    database.run(f"SET synchronous_commit = {default}")
    for step, waits in (
        (steps.claim, False),
        (lambda: steps.extend([token]), False),
        (lambda: steps.begin([token]), True),
        (lambda: steps.settle(token, "release"), True),
        (steps.claim, False),
        (lambda: steps.release([token]), False),
    ):
        with database.connection.transaction():
            step()
            assert (database.one(setting) == "on") is waits


def test_takeover_and_release_notify(database: Database, steps: Steps, listener: Connection) -> None:
    """A sleeping collector learns that there is a row to claim."""
    tokens = database.sign_up("ann")
    steps.claim()
    was_notified(listener)
    assert steps.release(tokens) == 1
    assert was_notified(listener)
    assert steps.release(tokens) == 0
    assert not was_notified(listener)
    steps.claim()
    steps.emitted(tokens)
    assert not was_notified(listener)
    assert steps.acknowledge() == 1
    assert was_notified(listener)
    steps.claim()
    steps.begin(tokens)
    assert not was_notified(listener)
    steps.settle(tokens[0], "later", delay_ms=1000)
    assert was_notified(listener)


def test_queues_are_each_their_own(database: Database) -> None:
    """Each step changes only the rows of its queue."""
    database.run("ALTER TYPE job_type ADD VALUE 'second'")
    database.run("INSERT INTO jobs (job_type) VALUES ('second')")
    tokens = database.sign_up("ann", "ben")
    mine, others = Steps(database.connection), Steps(database.connection, queue="second")
    assert mine.claim() == others.claim() == tokens
    database.run("UPDATE deliveries SET due_at = now() WHERE queue = 'second'")
    assert (mine.check()[0], others.check()[0]) == (0, 2)
    assert mine.extend(tokens) == tokens
    assert others.check()[0] == 2
    assert mine.emitted(tokens) == 2
    assert others.extend(tokens) == tokens
    assert others.acknowledge() == 0
    assert database.run("SELECT job_type::text, acknowledged_at IS NULL FROM jobs ORDER BY 1") == [
        ("mailroom", True),
        ("second", False),
    ]
    assert mine.acknowledge() == 2
    assert mine.claim() == tokens
    assert mine.begin(tokens) == dict.fromkeys(tokens)
    assert not others.settle(tokens[0], "sent")
    assert mine.settle(tokens[0], "sent")
    database.run("SELECT mailroom_pause('second', NULL)")
    assert others.begin(tokens) == dict.fromkeys(tokens, "the queue is paused")
    assert mine.begin(tokens[1:]) == {tokens[1]: None}
    assert others.release(tokens) == 0
    states = "SELECT queue::text, state::text FROM deliveries ORDER BY queue, token"
    assert database.run(states) == [
        ("mailroom", "sent"),
        ("mailroom", "sending"),
        ("second", "pending"),
        ("second", "pending"),
    ]
    assert mine.settle(tokens[1], "failed")
    database.run("UPDATE deliveries SET state = 'failed', settled_at = now() WHERE queue = 'second'")
    retry = "SELECT token, code FROM mailroom_retry_rows('mailroom', %s, false)"
    assert database.run(retry, tokens) == [(tokens[0], "sent"), (tokens[1], "retried")]
    assert database.run(states)[1:] == [("mailroom", "pending"), ("second", "failed"), ("second", "failed")]
    database.run("SELECT mailroom_pause('second', 'why')")
    database.run("SELECT mailroom_resume('mailroom')")
    assert database.one("SELECT paused_reason FROM jobs WHERE job_type = 'second'") == "why"


def test_prefixes_added_at_once_by_two_sessions_do_not_begin_alike(database: Database) -> None:
    """One of the two is refused, whichever is first."""
    for name in ("second", "third"):
        database.run(f"ALTER TYPE token_action ADD VALUE '{name}'")
    insert = (
        "INSERT INTO mailroom_actions (number, name, prefix, states, template) VALUES (%s, %s, %s, '{active}', 't')"
    )
    refused: list[str] = []

    def add(connection: Connection, *values: object) -> None:
        try:
            with connection.transaction():
                connection.execute(insert.encode(), values)
                until(lambda: bool(refused) or waits(database), "the other waits, or is refused")
        except psycopg.errors.CheckViolation as error:
            refused.append(str(error))

    def waits(database: Database) -> bool:
        with database.connect() as watching:
            rows = watching.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()
        return rows != [(0,)]

    with database.connect() as one, database.connect() as two:
        race(lambda: add(one, 4, "second", "/x"), lambda: add(two, 5, "third", "/xy"))
    assert len(refused) == 1
    assert database.one("SELECT count(*) FROM mailroom_actions") == 3


# What is no longer good


def test_account_without_a_status_gets_no_mail(database: Database) -> None:
    """A status that can't be read never counts as valid."""
    stale = "SELECT mailroom_stale('activation', 9999999999, NULL, NULL::account_status)"
    assert database.one(stale) == "the account is without a status"


def test_token_expires_by_the_clock_and_not_by_the_transaction(database: Database) -> None:
    """A long transaction does not keep a token valid."""
    with database.connection.transaction():
        expires_at = database.one("SELECT floor(extract(epoch FROM now()))::bigint + 1")
        database.run("SELECT pg_sleep_until(to_timestamp(%s))", expires_at)
        assert database.one("SELECT mailroom_stale('activation', %s, NULL, 'provisioned')", expires_at) == (
            "the token expired"
        )
