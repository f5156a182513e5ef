"""The connection of both programs: an abandoned statement ends on the server, and settings change no statement."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from mailroom_runtime.errors import ConnectionLost, Unavailable
from mailroom_runtime.postgres.connection import connect, translated
from tests.support.pooler import running_pgbouncer
from tests.support.postgres import Connection, Database
from tests.support.sender_parts import PIDS, shared_connection
from tests.support.waiting import until

NAME = "given-up"


def sessions(database: Database) -> int:
    """Return how many of our statements wait on the server."""
    return int(
        database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND query LIKE 'SELECT id FROM a%%'"
        )
    )


@pytest.fixture
def locked(database: Database) -> Iterator[Connection]:
    """A transaction stays open that locks the accounts."""
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK accounts")
        yield connection


def give_up(url: str) -> None:
    connection = connect(url, NAME, timeout=0.2)
    with pytest.raises(ConnectionLost, match="the server has not answered for 0 s"), translated():
        connection.execute("SELECT id FROM accounts")
    assert connection.closed


@pytest.mark.usefixtures("locked")
def test_abandoned_statement_ends_on_the_server(database: Database) -> None:
    """Otherwise each one would leave a waiting session until the server accepts no more connections."""
    give_up(database.url)
    until(lambda: sessions(database) == 0, "the statement has ended")


@pytest.mark.usefixtures("locked")
def test_abandoned_statement_ends_behind_a_pooler(database: Database) -> None:
    """A pooler passes the cancellation on."""
    with running_pgbouncer(database) as port:
        give_up(f"host=127.0.0.1 port={port} dbname={database.name} user=postgres")
        until(lambda: sessions(database) == 0, "the statement has ended")


@pytest.mark.usefixtures("locked")
def test_connection_closed_during_a_statement_cancels_it(database: Database) -> None:
    """This happens when a program ends."""
    connection = connect(database.url, NAME)
    connection.sends_only = True
    connection.execute("SELECT id FROM accounts")
    until(lambda: sessions(database) == 1, "the statement waits")
    connection.close()
    until(lambda: sessions(database) == 0, "the statement has ended")


def test_server_ends_the_statement_of_a_killed_program(database: Database) -> None:
    """A killed program cancels nothing. The server's own deadline is later than the program's."""
    with connect(database.url, NAME, timeout=10) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("15s",)


@pytest.fixture
def undone(database: Database) -> str:
    """A function that fails twice with the given SQLSTATE, and then works."""
    database.run("CREATE SEQUENCE tries")
    database.run(
        "CREATE FUNCTION undone(code text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('tries') < 3 THEN RAISE EXCEPTION 'undone' USING ERRCODE = code; END IF;"
        " RETURN pg_backend_pid(); END $$"
    )
    return "SELECT undone(%s)"


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_statement_that_was_rolled_back_is_repeated_at_once(database: Database, undone: str, code: str) -> None:
    """A deadlock or serialization failure does not close the connection. Within a transaction it is raised."""
    with connect(database.url, NAME) as connection:
        assert connection.execute(undone, (code,)).fetchone() == (connection.info.backend_pid,)
        database.run("SELECT setval('tries', 1, false)")
        raises = pytest.raises(Unavailable, match="other transactions were in the way: undone")
        with raises, translated(), connection.transaction():
            connection.execute(undone, (code,))


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03", "57014"])
@pytest.mark.parametrize("early", [True, False], ids=["sent early", "asked"])
def test_sender_repeats_a_rolled_back_statement_on_the_same_connection(
    database: Database, undone: str, code: str, early: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """It does so whether or not it waits for the answer. After a lock timeout it waits before it tries again."""
    sender = shared_connection(database.url, PIDS)
    pid = sender.open()
    try:
        answer = sender.query_soon(undone, (code,))() if early else sender.query(undone, (code,))
    finally:
        sender.close()
    assert answer == [(pid,)]
    assert ("trying again in" in capfd.readouterr().err) == (code in {"55P03", "57014"})


def test_password_file_is_read_again_by_libpq(database: Database, tmp_path: Path) -> None:
    """libpq also reads the other files that the URL names again."""
    file = tmp_path / "passfile"
    url = make_conninfo(database.url, passfile=str(file))
    database.run("CREATE ROLE by_file LOGIN PASSWORD 'old'")
    database.server.require_password("by_file")
    try:
        for password in ("old", "new"):
            database.run(f"ALTER ROLE by_file PASSWORD '{password}'")
            file.write_text(f"*:*:*:by_file:{password}\n")
            file.chmod(0o600)
            connect(make_conninfo(url, user="by_file", password=None), NAME).close()
    finally:
        database.run("DROP ROLE by_file")
