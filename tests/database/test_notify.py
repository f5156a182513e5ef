"""Inserts ring unless a collector attends, and nobody misses what did not ring. Real sessions, in every order."""

import itertools
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Connection, Database
from tests.support.waiting import until


@pytest.fixture
def listener(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        connection.execute("LISTEN token_insert")
        yield connection


def rung(listener: Connection) -> int:
    """Return how many notifications have come."""
    listener.execute("SELECT")  # behind it, all that was sent before is there
    return len(list(listener.notifies(timeout=0)))


def test_insert_rings_when_nobody_attends(database: Database, listener: Connection) -> None:
    """As for any listener: one notification a transaction."""
    database.sign_up("ann", "ben")
    assert rung(listener) == 1


def test_insert_is_silent_while_a_collector_attends(database: Database, listener: Connection) -> None:
    """Attending rings once, for all that will not ring; leaving lets inserts ring again."""
    with database.connect() as session:
        collector = Steps(session)
        assert collector.attend()
        assert rung(listener) == 1
        database.sign_up("ann")
        assert rung(listener) == 0
        assert collector.attend(already=True)
        assert rung(listener) == 1
        assert collector.leave()
        database.sign_up("ben")
        assert rung(listener) == 1


def test_one_attends_at_a_time_and_others_are_told(database: Database, steps: Steps) -> None:
    """Looking tells another session that somebody attends; the end of that session ends it."""
    with database.connect() as other:
        assert Steps(other).attend()
        assert not steps.attend()
        assert steps.another_attends()
        assert not Steps(other).another_attends()
    until(lambda: not steps.another_attends(), "the lock of the session that ended is gone")
    assert steps.attend()


def test_who_leaves_is_told_of_inserts_under_way(database: Database, steps: Steps) -> None:
    """The answer is no until the last of them has ended, whichever way."""
    steps.attend()
    with database.connect() as one, database.connect() as two:
        for connection, login in ((one, "one"), (two, "two")):
            connection.autocommit = False
            connection.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (login, login))
        assert not steps.leave()
        one.commit()
        assert not steps.leave(attending=False)
        two.rollback()
        assert steps.leave(attending=False)


def test_application_needs_no_right_for_the_bell(database: Database, listener: Connection) -> None:
    """A role that may only insert accounts rings."""
    database.run("CREATE ROLE bell_ringer; GRANT INSERT ON accounts, tokens TO bell_ringer")
    database.run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bell_ringer")
    try:
        with database.connect() as application:
            application.execute("SET ROLE bell_ringer")
            application.execute("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
        assert rung(listener) == 1
    finally:
        database.run("DROP OWNED BY bell_ringer; DROP ROLE bell_ringer")


ORDERS = sorted(set(itertools.permutations("11224")))
"""Two transactions, each of which inserts and then commits, and a collector that leaves somewhere in between."""


class Scene:
    """Two writers and a collector that attends."""

    def __init__(self, database: Database, listener: Connection) -> None:
        self.database = database
        self.listener = listener
        self.writers = {name: database.connect() for name in "12"}
        self.collector = Steps(database.connection)
        self.rung: set[str] = set()
        self.left = False
        self.seen: set[str] | None = None

    def turn(self, who: str) -> None:
        if who == "4":
            self.left = True
            self.ask(attending=True)
            return
        writer = self.writers[who]
        if writer.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            writer.execute("BEGIN")
            writer.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (who, who))
        else:
            writer.execute("COMMIT")
            if rung(self.listener):
                self.rung.add(who)
        if self.left:
            self.ask(attending=False)

    def ask(self, *, attending: bool) -> None:
        """Leave, or ask again; when all have ended, look for the last time."""
        if self.seen is None and self.collector.leave(attending=attending):
            rows = self.database.run(
                "SELECT a.login FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account"
            )
            self.seen = {login for (login,) in rows}


def test_no_order_of_statements_misses_a_row(database: Database, listener: Connection) -> None:
    """In each of them every row was rung for, or seen by the look after which the collector sleeps."""
    silent = 0
    for order in ORDERS:
        database.run("TRUNCATE accounts, tokens")
        scene = Scene(database, listener)
        assert scene.collector.attend()
        rung(listener)
        for who in order:
            scene.turn(who)
        scene.ask(attending=False)
        assert scene.seen is not None
        silent += 2 - len(scene.rung)
        assert scene.rung | scene.seen == {"1", "2"}, order
        for writer in scene.writers.values():
            writer.close()
    assert 0 < silent < 2 * len(ORDERS)


def test_inserts_do_not_wait_for_each_other_or_for_who_leaves(database: Database, steps: Steps) -> None:
    """A transaction that stays open holds up no other sign-up, also not while a collector wants to leave."""
    steps.attend()
    with database.connect() as slow, database.connect() as fast:
        slow.autocommit = False
        slow.execute("INSERT INTO accounts (email, login) VALUES ('s', 'slow')")
        assert not steps.leave()
        done = threading.Event()

        def sign_up() -> None:
            fast.execute("INSERT INTO accounts (email, login) VALUES ('f', 'fast')")
            done.set()

        threading.Thread(target=sign_up).start()
        assert done.wait(10)
        slow.rollback()
