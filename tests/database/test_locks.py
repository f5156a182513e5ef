"""No step waits for a row. So neither two steps, nor a step and an application, can deadlock."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.ledger import LEASE_MS, Steps, race
from tests.support.postgres import Connection, Database
from tests.support.waiting import until

ROWS = 300
ROUNDS = 25
TOKENS = range(1, ROWS + 1)


@pytest.fixture
def claimed(database: Database) -> Database:
    """Rows that a collector has claimed. The server detects a deadlock within milliseconds."""
    database.sign_up_many(ROWS)
    database.run(f"ALTER DATABASE {database.name} SET deadlock_timeout = '10ms'")
    Steps(database.connection, "collector").claim(ROWS)
    return database


@pytest.fixture
def sessions(claimed: Database) -> Iterator[list[Connection]]:
    connections = [claimed.connect() for _ in range(6)]
    yield connections
    for connection in connections:
        connection.close()


def begin(connection: Connection, holder: str, secrets: list[bytes]) -> set[int]:
    rows = connection.execute(
        "SELECT token FROM mailroom_begin_rows('mailroom', %s, %s, %s, NULL) WHERE code = 'begun'",
        (holder, LEASE_MS, secrets),
    ).fetchall()
    return {token for (token,) in rows}


def test_simultaneous_begins_let_one_through(claimed: Database, sessions: list[Connection]) -> None:
    """Two senders begin the same rows at the same moment, repeatedly. Each row goes to exactly one of them."""
    secrets = [secret for (secret,) in claimed.run("SELECT secret FROM tokens ORDER BY id")]
    for number in range(ROUNDS):
        begun: dict[str, set[int]] = {"one": set(), "two": set()}

        def call(connection: Connection, holder: str, asked: list[bytes], into: dict[str, set[int]], no: int) -> None:
            into[holder] = begin(connection, f"{holder}{no}", asked)

        race(
            lambda no=number, into=begun: call(sessions[0], "one", secrets, into, no),  # type: ignore[misc]
            lambda no=number, into=begun: call(sessions[1], "two", secrets[::-1], into, no),  # type: ignore[misc]
        )
        assert begun["one"] | begun["two"] == set(TOKENS)
        assert not begun["one"] & begun["two"]
        claimed.run("UPDATE deliveries SET state = 'claimed', holder = 'collector'")


def shuffled() -> list[int]:
    return random.sample(TOKENS, ROWS)


def settle(connection: Connection) -> None:
    connection.execute(
        "SELECT mailroom_settle_rows('mailroom', 'sender', %s, %s::delivery_outcome[], %s, %s, %s)",
        (shuffled(), ["release"] * ROWS, ["m"] * ROWS, ["why"] * ROWS, [0] * ROWS),
    )


def delete(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        for account in random.sample(TOKENS, 5):
            connection.execute("DELETE FROM accounts WHERE id = %s", (account,))


def give_back(connection: Connection) -> None:
    collector = Steps(connection, "collector")
    collector.extend(shuffled())
    collector.release(shuffled())


def repeat(step: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(ROUNDS):
            step()

    return run


def test_no_mix_of_steps_deadlocks(claimed: Database, sessions: list[Connection]) -> None:
    """All steps run on the same rows in different orders, while an application deletes accounts in any order."""
    secrets = [secret for (secret,) in claimed.run("SELECT secret FROM tokens ORDER BY id")]
    race(
        repeat(lambda: begin(sessions[0], "sender", random.sample(secrets, ROWS))),
        repeat(lambda: settle(sessions[1])),
        repeat(lambda: give_back(sessions[2])),
        repeat(lambda: Steps(sessions[3], "collector").claim(ROWS)),
        repeat(lambda: delete(sessions[4])),
        repeat(lambda: sessions[5].execute("SELECT mailroom_retry('mailroom', %s, true)", (shuffled(),))),
    )
    assert set(claimed.states()) <= {"pending", "claimed", "sending"}


@pytest.mark.parametrize(
    ("step", "then"),
    [
        ("SELECT count(*) FROM mailroom_extend('mailroom', 'collector', 1000, %s)", 1),
        ("SELECT mailroom_release('mailroom', 'collector', %s)", 1),
        ("SELECT mailroom_emitted('mailroom', 'collector', %s)", 1),
        ("SELECT mailroom_set_aside('mailroom', 'collector', %s, '{why,why}')", 1),
    ],
)
def test_collectors_step_skips_locked_rows(database: Database, step: str, then: int) -> None:
    """It does the other rows: an application that deletes one account delays no other mail."""
    tokens = database.sign_up("bad", "good")
    Steps(database.connection, "collector").claim()
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'bad'")
        assert database.one(step, tokens) == then
        application.execute("ROLLBACK")


def test_release_leaves_to_the_sender_what_it_is_about_to_begin(database: Database, steps: Steps) -> None:
    """If a row went back to pending while it is sent, it would be sent twice."""
    tokens = database.sign_up("ann", "ben")
    steps.claim()
    with database.connect() as session:
        with session.transaction():
            assert Steps(session, "sender").begin(tokens[:1]) == {tokens[0]: None}
            assert steps.release(tokens) == 1
        assert steps.release(tokens) == 0
    assert database.state(tokens[0]) == "sending"
    assert database.state(tokens[1]) == "pending"


def test_takeover_that_finds_a_locked_row_fails_as_a_whole_and_is_repeated(database: Database, steps: Steps) -> None:
    """No emitted row is left behind."""
    tokens = database.sign_up("ann", "ben")
    steps.claim()
    steps.emitted(tokens)
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'ben'")
        with pytest.raises(Exception, match="deliveries that were handed out are locked"):
            steps.acknowledge()
        application.execute("ROLLBACK")
    assert database.states() == {"emitted": 2}
    assert steps.acknowledge() == 2


def test_steps_of_the_version_before_do_not_wait_either(database: Database, steps: Steps) -> None:
    """Its begin reports locked rows in its own words.

    Its settle has no code for them and fails as a whole, to be repeated.
    """
    tokens = database.sign_up("ann", "ben")
    steps.claim()
    steps.begin(tokens)
    secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens ORDER BY id")]
    outcomes = "'{sent,sent}'::delivery_outcome[], '{m,m}', '{NULL,NULL}', '{0,0}'"
    settle = f"SELECT mailroom_settle('mailroom', 'me', %s, {outcomes})"
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'ben'")
        assert database.run("SELECT attempt, refused FROM mailroom_begin('mailroom', 'me', 800, %s)", secrets) == [
            (1, None),
            (None, "locked by another transaction"),
        ]
        with pytest.raises(Exception, match="deliveries are locked by another transaction"):
            database.run(settle, tokens)
        application.execute("ROLLBACK")
    assert sorted(database.run(settle, tokens)) == [(token,) for token in tokens]
    assert database.states() == {"sent": 2}


def test_begin_of_the_version_before_retries_rows_locked_for_a_moment(database: Database, steps: Steps) -> None:
    """A sender of version 0.1 forgets a refused row, and its collector would keep the row for ever."""
    database.sign_up("ann", "ben")
    steps.claim()
    secrets = [secret for (secret,) in database.run("SELECT secret FROM tokens ORDER BY id")]
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with database.connect() as application, database.connect() as session, ThreadPoolExecutor(1) as pool:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'ben'")
        begin_both = "SELECT attempt, refused FROM mailroom_begin('mailroom', 'old', 30000, %s)"
        begun = pool.submit(lambda: session.execute(begin_both, (secrets,)).fetchall())
        until(lambda: database.one(sleeps) == 1, "begin tries again")
        application.execute("ROLLBACK")
        assert begun.result(20) == [(1, None), (1, None)]


def test_retry_refuses_what_stays_locked(database: Database, steps: Steps) -> None:
    """An operator's command does not wait for an application."""
    tokens = database.sign_up("ann", "ben")
    steps.claim()
    for token in tokens:
        steps.reject(token, "why")
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'ben'")
        assert dict(database.run("SELECT token, refused FROM mailroom_retry('mailroom', %s, false)", tokens)) == {
            tokens[0]: None,
            tokens[1]: "locked by another transaction",
        }
        application.execute("ROLLBACK")
