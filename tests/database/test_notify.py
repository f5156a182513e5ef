"""An insert notifies unless a collector polls fast, and no row is missed. Real sessions run in every order."""

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


def count_notifications(listener: Connection) -> int:
    """Return how many notifications have come."""
    listener.execute("SELECT")  # after its answer, all earlier notifications have arrived
    return len(list(listener.notifies(timeout=0)))


def test_insert_notifies_when_no_collector_polls_fast(database: Database, listener: Connection) -> None:
    """Each transaction sends one notification."""
    database.sign_up("ann", "ben")
    assert count_notifications(listener) == 1


def test_insert_skips_notify_while_a_collector_polls_fast(database: Database, listener: Connection) -> None:
    """Starting sends one notification for the inserts that will skip NOTIFY. After the stop, inserts notify again."""
    with database.connect() as session:
        collector = Steps(session)
        assert collector.start_fast_polling()
        assert count_notifications(listener) == 1
        database.sign_up("ann")
        assert count_notifications(listener) == 0
        assert collector.start_fast_polling(already=True)
        assert count_notifications(listener) == 1
        assert collector.stop_fast_polling()
        database.sign_up("ben")
        assert count_notifications(listener) == 1


def test_one_collector_polls_fast_at_a_time(database: Database, steps: Steps) -> None:
    """Other sessions see that a collector polls fast, until its session ends."""
    with database.connect() as other:
        assert Steps(other).start_fast_polling()
        assert not steps.start_fast_polling()
        assert steps.another_polls_fast()
        assert not Steps(other).another_polls_fast()
    until(lambda: not steps.another_polls_fast(), "the lock of the session that ended is gone")
    assert steps.start_fast_polling()


def test_collector_that_stops_fast_polling_learns_of_inserts_in_progress(database: Database, steps: Steps) -> None:
    """The answer is false until the last of them has been committed or rolled back."""
    steps.start_fast_polling()
    with database.connect() as one, database.connect() as two:
        for connection, login in ((one, "one"), (two, "two")):
            connection.autocommit = False
            connection.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (login, login))
        assert not steps.stop_fast_polling()
        one.commit()
        assert not steps.stop_fast_polling(is_polling_fast=False)
        two.rollback()
        assert steps.stop_fast_polling(is_polling_fast=False)


def test_application_needs_no_right_to_notify(database: Database, listener: Connection) -> None:
    """The insert of a role that may only insert accounts and tokens notifies."""
    database.run("CREATE ROLE app_role; GRANT INSERT ON accounts, tokens TO app_role")
    database.run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_role")
    try:
        with database.connect() as application:
            application.execute("SET ROLE app_role")
            application.execute("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
        assert count_notifications(listener) == 1
    finally:
        database.run("DROP OWNED BY app_role; DROP ROLE app_role")


ORDERS = sorted(set(itertools.permutations("11224")))
"""Two transactions that each insert and commit, and a collector that stops fast polling at any point between."""


class Scene:
    """Two writers, and a collector that polls fast."""

    def __init__(self, database: Database, listener: Connection) -> None:
        self.database = database
        self.listener = listener
        self.writers = {name: database.connect() for name in "12"}
        self.collector = Steps(database.connection)
        self.notified: set[str] = set()
        self.has_stopped = False
        self.seen: set[str] | None = None

    def step(self, process: str) -> None:
        if process == "4":
            self.has_stopped = True
            self.ask(is_polling_fast=True)
            return
        writer = self.writers[process]
        if writer.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            writer.execute("BEGIN")
            writer.execute("INSERT INTO accounts (email, login) VALUES (%s, %s)", (process, process))
        else:
            writer.execute("COMMIT")
            if count_notifications(self.listener):
                self.notified.add(process)
        if self.has_stopped:
            self.ask(is_polling_fast=False)

    def ask(self, *, is_polling_fast: bool) -> None:
        """Stop fast polling, or ask again; once all inserts have ended, poll for the last time."""
        if self.seen is None and self.collector.stop_fast_polling(is_polling_fast=is_polling_fast):
            rows = self.database.run(
                "SELECT a.login FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account"
            )
            self.seen = {login for (login,) in rows}


def test_no_order_of_statements_misses_a_row(database: Database, listener: Connection) -> None:
    """In every order, each row's insert notified, or the collector's last poll saw the row."""
    skipped = 0
    for order in ORDERS:
        database.run("TRUNCATE accounts, tokens")
        scene = Scene(database, listener)
        assert scene.collector.start_fast_polling()
        count_notifications(listener)
        for process in order:
            scene.step(process)
        scene.ask(is_polling_fast=False)
        assert scene.seen is not None
        skipped += 2 - len(scene.notified)
        assert scene.notified | scene.seen == {"1", "2"}, order
        for writer in scene.writers.values():
            writer.close()
    assert 0 < skipped < 2 * len(ORDERS)


def test_insert_waits_for_no_other_insert_and_no_collector(database: Database, steps: Steps) -> None:
    """A transaction that stays open delays no other sign-up, even while a collector wants to stop fast polling."""
    steps.start_fast_polling()
    with database.connect() as slow, database.connect() as fast:
        slow.autocommit = False
        slow.execute("INSERT INTO accounts (email, login) VALUES ('s', 'slow')")
        assert not steps.stop_fast_polling()
        done = threading.Event()

        def sign_up() -> None:
            fast.execute("INSERT INTO accounts (email, login) VALUES ('f', 'fast')")
            done.set()

        threading.Thread(target=sign_up).start()
        assert done.wait(10)
        slow.rollback()
