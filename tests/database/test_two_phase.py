"""Sign-ups and two-phase commit: what docs/internals.md, "Fast polling", says of them."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Connection, Database, running_server


@pytest.fixture
def prepared() -> Iterator[Database]:
    """A database of a server that has prepared transactions, which PostgreSQL has not by default."""
    with running_server() as server:
        with server.connect("postgres") as admin:
            admin.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
        server.restart()
        database = Database(server, server.new_database())
        yield database
        database.close()


def sign_up_and_prepare(connection: Connection) -> None:
    connection.execute("BEGIN; INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
    connection.execute("PREPARE TRANSACTION 'sign-up'")


def test_sign_up_can_be_prepared_only_while_inserts_do_not_notify(prepared: Database) -> None:
    """Else PostgreSQL refuses it, and nothing is left of it. What was prepared is seen once it is committed."""
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot PREPARE a transaction that has executed"):
        sign_up_and_prepare(prepared.connection)
    assert prepared.one("SELECT count(*) FROM accounts") == 0
    with prepared.connect() as session:
        collector = Steps(session)
        assert collector.attend()
        sign_up_and_prepare(prepared.connection)
        assert not collector.leave()
        assert collector.claim() == []
        prepared.run("COMMIT PREPARED 'sign-up'")
        assert collector.leave(attending=False)
        assert len(collector.claim()) == 1
