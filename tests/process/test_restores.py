"""The commands of docs/restores-and-copies.md, run by PostgreSQL's own tools on real databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger import Steps
from tests.support.pages import ROOT, blocks
from tests.support.postgres import Database, Server
from tests.support.processes import environment, run

PAGE = ROOT / "docs" / "restores-and-copies.md"


@pytest.fixture
def empty(server: Server) -> Iterator[Database]:
    """A database without a schema, whose server has the tables' owner as its only role."""
    database = Database(server, server.new_database(template="template1"))
    yield database
    database.close()


@pytest.fixture
def production(database: Database) -> Database:
    """Old accounts, of which one was mailed, and one account that has just signed up."""
    database.sign_up_many(40)
    Steps(database.connection).claim(40)
    Steps(database.connection).begin([1])
    Steps(database.connection).settle(1, "sent")
    database.run("UPDATE accounts SET created_at = created_at - 86400")
    database.run("UPDATE tokens SET created_at = created_at - 86400, expires_at = expires_at - 86400")
    database.sign_up("new")
    return database


def shell(database: Database, about: str, folder: Path, **variables: str) -> None:
    """Run the one block of the page that contains the text."""
    (block,) = [block.text for block in blocks(PAGE, "sh") if about in block.text]
    env = environment(**variables)
    env["PATH"] = f"{database.server.tools}:{env['PATH']}"
    done = run(f"set -e\n{block}", env=env, cwd=folder)
    assert done.status == 0, done.err


def test_staging_copy_mails_nobody(production: Database, empty: Database, tmp_path: Path) -> None:
    """The copy is paused at once, holds no real address, and reports that its rights are missing."""
    shell(production, "pause --reason", tmp_path, PRODUCTION=production.url, STAGING=empty.url)
    copy = Steps(empty.connection)
    assert empty.one("SELECT count(*) FROM accounts") == empty.one("SELECT count(*) FROM tokens") == 41
    assert copy.claim(100) == []
    assert empty.run("SELECT paused_reason FROM jobs") == [("a copy of production",)]
    (statements,) = [block.text for block in blocks(PAGE, "sql")]
    empty.run(statements)
    empty.run("SELECT mailroom_resume('mailroom')")
    assert copy.claim(100) == []
    assert empty.one("SELECT count(*) FROM accounts WHERE email NOT LIKE '%%@staging.example'") == 0
    note = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=empty.url)).out
    assert "note: every role may execute" in note
    empty.run(note.partition("and then: ")[2].partition("\n")[0])
    assert (
        "note: every role may execute"
        not in run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=empty.url)).out
    )
    assert Steps(production.connection).claim(100) == [41]


def test_ledger_is_restored_unchanged(production: Database, server: Server, tmp_path: Path) -> None:
    """It is restored into a migrated schema, without an extra token or delivery."""
    target = Database(server, server.new_database())
    try:
        staging = Database(server, server.new_database(template="template1"))
        shell(production, "pause --reason", tmp_path, PRODUCTION=production.url, STAGING=staging.url)
        staging.close()
        shell(production, "--disable-triggers", tmp_path, TARGET=target.url)
        for table in ("accounts", "tokens", "deliveries"):
            rows = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert target.run(rows) == production.run(rows), table
        assert target.sign_up("next") == [42]
    finally:
        target.close()
