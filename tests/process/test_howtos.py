"""The SQL, Python and shell of the how-tos do what the pages say."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailroom_collector import Action
from mailroom_collector.sign.signature import Signer
from tests.conftest import Environment
from tests.support.ledger import Steps
from tests.support.lines import field_of, secret_of
from tests.support.pages import AWS, ROOT, blocks
from tests.support.postgres import Database, Server
from tests.support.processes import KEY, environment, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

OTHER_KEY = "5eaf00d5" * 8
ROLES = ("mailroom_collector", "mailroom_sender", "mailroom_collector_b")


def code(page: str, language: str, about: str = "") -> str:
    """Return the one block of a page that contains the text."""
    (found,) = [block.text for block in blocks(ROOT / "docs" / page, language) if about in block.text]
    return found


def python(page: str, about: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code(page, "python", about), names)
    return names


@pytest.fixture
def roles(server: Server) -> Iterator[None]:
    """Afterwards remove the roles of the pages from every database in which they have rights."""
    yield
    with server.connect("postgres") as admin:
        for (name,) in admin.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall():
            with server.connect(name) as connection:
                for (role,) in connection.execute(
                    "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),)
                ):
                    connection.execute(f"DROP OWNED BY {role}".encode())
        for role in ROLES:
            admin.execute(f"DROP ROLE IF EXISTS {role}".encode())


def test_late_import_gets_new_tokens(database: Database) -> None:
    """The pages' SQL gives a token with a longest wait to who got no mail, and only the new token is mailed."""
    database.run("CREATE TABLE staging_users (email text, name text)")
    database.run("INSERT INTO staging_users SELECT 'u' || n || '@example.net', 'u' || n FROM generate_series(1, 20) n")
    database.run(code("before-an-import.md", "sql", "FROM staging_users"))
    steps = Steps(database.connection)
    (mailed,) = steps.claim(1)
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now() WHERE token = %s", mailed)
    database.run(code("before-an-import.md", "sql", "life_from = 'mail'"))
    database.run(code("before-an-import.md", "sql", "INSERT INTO tokens"))
    assert len(steps.claim(100)) == 19
    assert database.states() == {"sent": 1, "skipped": 19, "claimed": 19}
    lives = database.run("SELECT DISTINCT expires_at - created_at FROM tokens ORDER BY 1")
    assert lives == [(900,), (900 + 86400,)]
    database.run(code("before-an-import.md", "sql", "life_from = 'insert'"))
    database.run(code("before-an-import.md", "sql", "suspended"))
    assert database.one("SELECT count(*) FROM accounts WHERE status = 'suspended'") == 20


def test_missing_mail_is_found_in_the_ledger(database: Database) -> None:
    """The page's first command shows each token of an address, with its state, its error and what to do."""
    command, env = code("no-mail.md", "sh", "show"), environment(MAILROOM_DATABASE_URL=database.url)
    assert "there is no account" in run(command, env=env).err
    database.run("INSERT INTO accounts (email, login, status) VALUES ('ann@example.com', 'ann', 'active')")
    assert "it has no token" in run(command, env=env).out
    database.run("INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts")
    assert re.search(r"^token 1  password_recovery  pending$", run(command, env=env).out, re.MULTILINE)
    database.run("UPDATE deliveries SET state = 'failed', settled_at = now(), error = 'why'")
    found = run(command, env=env).out
    assert re.search(r"^token 1  password_recovery  failed$", found, re.MULTILINE)
    assert re.search(r"^  error +why$", found, re.MULTILINE)
    database.run("DELETE FROM deliveries")
    assert "no delivery" in run(command, env=env).out


def test_quoted_log_lines_exist() -> None:
    """The source contains each log line that the page quotes."""
    page = (
        (ROOT / "docs" / "no-mail.md").read_text().partition("The lines that matter")[2].partition("An exit status")[0]
    )
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    assert len(quoted) == 8
    for line in quoted:
        known = line.replace("token_insert, queue mailroom", "{").replace("allows 1 recipient", "allows {")
        parts = [part for part in re.split(r"\{[^}]*\}?", known) if part]
        assert all(part in source for part in parts), line


def test_both_keys_are_valid_during_a_rotation(database: Database, collector_env: Environment, tmp_path: Path) -> None:
    """Links signed before and after the collector's restart pass the page's check. Others do not."""
    check = python("rotating-secrets.md", "keys: list")["token_secret"]
    keys = [bytes.fromhex(OTHER_KEY), bytes.fromhex(KEY)]
    for login, key in (("ann", KEY), ("bob", OTHER_KEY)):
        folder = tmp_path / login
        folder.mkdir()
        with running("mailroom-collect", collector_env(MAILROOM_SECRET_KEY=key), folder) as collector:
            database.sign_up(login)
            collector.prints("\n")
            assert collector.stop() == 0
            field = collector.out.split(",")[3]
        secret = database.one("SELECT secret FROM tokens JOIN accounts a ON a.id = account WHERE login = %s", login)
        assert check(field, Action.ACTIVATION, None, keys) == secret
    assert check(field, Action.ACTIVATION, None, keys[1:]) is None
    needed = database.one(code("rotating-secrets.md", "sql", "old_key_is_needed_until"))
    assert needed is not None
    database.run(code("rotating-secrets.md", "sql", "SET expires_at"))
    assert database.one("SELECT count(*) FROM tokens WHERE expires_at > floor(extract(epoch FROM now()))") == 0


@pytest.mark.usefixtures("roles")
def test_second_role_inherits_the_steps(database: Database) -> None:
    """The new role may do what the old role may, and the old role can't log in any more."""
    database.run(blocks(ROOT / "docs" / "roles.md", "sql")[0].text)
    database.run(code("rotating-secrets.md", "sql", "IN ROLE"))
    database.run(code("rotating-secrets.md", "sql", "NOLOGIN"))
    tokens = database.sign_up("ann")
    with database.connect() as connection:
        connection.execute("SET ROLE mailroom_collector_b")
        assert Steps(connection, "c").claim() == tokens
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM tokens")
    assert database.run(
        "SELECT rolcanlogin FROM pg_roles WHERE rolname LIKE 'mailroom_collector%' ORDER BY rolname"
    ) == [
        (False,),
        (True,),
    ]


def test_aws_commands_are_valid(tmp_path: Path) -> None:
    """The words and parameters of each aws command on the page exist in AWS's own model."""
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "AWS_CALLS": str(tmp_path / "calls"),
        "OLD_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    }
    for block in blocks(ROOT / "docs" / "rotating-secrets.md", "sh"):
        assert run(f"set -e; {block.text}", env=env).status == 0
    (suppressed,) = re.findall(r"`(aws sesv2 [^`]+)`", (ROOT / "docs" / "no-mail.md").read_text())
    assert run(suppressed, env=env).status == 0
    called = [json.loads(line)[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert called == [
        "CreateAccessKey", "ListAccessKeys", "GetAccessKeyLastUsed", "UpdateAccessKey", "DeleteAccessKey",
        "GetSuppressedDestination",
    ]  # fmt: skip


def test_second_queue_gets_each_token_too(database: Database, collector_env: Environment) -> None:
    """A trial reads what the real queue reads, and leaves nothing behind."""
    database.run(code("queues-and-regions.md", "sql", "ADD VALUE"))
    database.run(code("queues-and-regions.md", "sql", "INSERT INTO jobs"))
    database.sign_up("ann")
    with running(code("queues-and-regions.md", "sh", "QUEUE_NAME=trial").strip(), collector_env()) as trial:
        trial.prints("ann@example.com")
        until(lambda: database.states() == {"pending": 1, "emitted": 1}, "it counts as handed out")
        trial.stop()
    assert sorted(database.run("SELECT queue::text, state::text FROM deliveries")) == [
        ("mailroom", "pending"),
        ("trial", "emitted"),
    ]
    for statement in code("queues-and-regions.md", "sql", "DELETE").strip().split("\n"):
        database.run(statement)
    assert database.run("SELECT queue::text FROM deliveries") == [("mailroom",)]


@pytest.mark.usefixtures("roles")
def test_existing_user_table_is_connected(server: Server, pipeline_env: Environment, endpoint: Endpoint) -> None:
    """A trigger feeds mailroom in its own schema. A new user is mailed, and a confirmed user is confirmed in both."""
    database = Database(server, server.new_database(template="template1"))
    try:
        database.run("CREATE TABLE users (email text UNIQUE, name text, confirmed boolean NOT NULL DEFAULT false)")
        database.run("INSERT INTO users VALUES ('old@example.com', 'old', true)")
        rights, bring, *triggers = [block.text for block in blocks(ROOT / "docs" / "moving.md", "sql")]
        migrate = code("moving.md", "sh", "--schema")
        owner = f"host={server.folder} dbname={database.name} user=postgres"
        migrated = run(migrate, env=environment(OWNER_URL=owner))
        assert migrated.status == 0, migrated.err
        database.run("SET search_path = mailroom")
        database.run(blocks(ROOT / "docs" / "roles.md", "sql")[0].text)
        database.run("RESET search_path")
        for text in (rights, bring, *triggers):
            database.run(text)
        collector, sender = (f"host={server.folder} dbname={database.name} user={role}" for role in ROLES[:2])
        command = 'MAILROOM_DATABASE_URL="$COLLECTOR" mailroom-collect | MAILROOM_DATABASE_URL="$SENDER" mailroom-send'
        with running(
            command, pipeline_env(COLLECTOR=collector, SENDER=sender, MAILROOM_SCHEMA_NAME="mailroom")
        ) as pipeline:
            pipeline.says("acknowledging")
            database.run("INSERT INTO users VALUES ('ann@example.com', 'ann')")
            until(lambda: endpoint.mailed, f"the mail; {pipeline.err}")
        assert endpoint.addresses == ["ann@example.com"]
        assert database.one("SELECT confirmed FROM users WHERE name = 'ann'") is False
        database.run("UPDATE mailroom.tokens SET consumed_at = 1")
        assert database.one("SELECT confirmed FROM users WHERE name = 'ann'") is True
    finally:
        database.close()


def test_own_reader_reads_every_line(database: Database, collector_env: Environment, tmp_path: Path) -> None:
    """The page's reader understands quoted fields and several rows in a line."""
    (tmp_path / "reader.py").write_text(code("own-programs.md", "python", "csv.reader"))
    database.sign_up("ann", "bob")
    database.run("INSERT INTO accounts (email, login) VALUES ('c@example.com', 'c \"d\", e')")
    command = code("own-programs.md", "sh", "reader.py").strip().replace("python3", sys.executable)
    with running(command, collector_env(), tmp_path) as pipeline:
        pipeline.prints('activation for c "d", e, to c@example.com')
        assert pipeline.out.count("activation for ") == 3
        until(lambda: database.states() == {"emitted": 3}, "all are done")


def test_own_writer_is_mailed(endpoint: Endpoint, sender_env: Environment) -> None:
    """The page's line is sent, and its field equals the collector's signature."""
    field = python("own-programs.md", "secret_field")["secret_field"]
    key, secret = bytes.fromhex(KEY), secret_of(1)
    assert field(secret, key) == field_of(1)
    assert field(secret, key, "01234") == Signer(key).sign(Action.PASSWORD_RECOVERY.number, secret, "01234")
    settings = sender_env(EMAIL="ann@example.com", LOGIN="ann", FIELD=field(secret, key))
    assert run(code("own-programs.md", "sh", "printf"), env=settings).status == 0
    assert endpoint.addresses == ["ann@example.com"]


@pytest.mark.parametrize("program", ["mailroom-collect", "mailroom-send"])
def test_line_for_bash_completes(program: str) -> None:
    """With the line for ~/.bashrc, bash completes both programs."""
    line = code("shell-completion.md", "bash")
    function = f"_{program.replace('-', '_')}_completion"
    done = run(f"{line}\ncomplete -p {program}", env={"PATH": environment()["PATH"]})
    assert done.out.strip() == f"complete -o nosort -F {function} {program}"
