"""Sign-ups and two-phase commit, as docs/internals.md describes under "Fast polling"."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Connection, Database, running_server


@pytest.fixture
def prepared() -> Iterator[Database]:
    """A database whose server allows prepared transactions. By default PostgreSQL does not."""
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
    """Otherwise PostgreSQL refuses it, and no row is left. A prepared sign-up is seen once it is committed."""
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot PREPARE a transaction that has executed"):
        sign_up_and_prepare(prepared.connection)
    assert prepared.one("SELECT count(*) FROM accounts") == 0
    with prepared.connect() as session:
        collector = Steps(session)
        assert collector.start_fast_polling()
        sign_up_and_prepare(prepared.connection)
        assert not collector.stop_fast_polling()
        assert collector.claim() == []
        prepared.run("COMMIT PREPARED 'sign-up'")
        assert collector.stop_fast_polling(is_polling_fast=False)
        assert len(collector.claim()) == 1
