"""An error of the database means the same to both programs and the commands: words, level, and whether they wait."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Database, Server
from tests.support.processes import Finished, environment, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.tcp_proxy import postgres_target, running_proxy
from tests.support.waiting import until

ROLE = "refused"
STEPS = ("mailroom-collect", "mailroom-send")
ALL = (*STEPS, "mailroom-collect status", "mailroom-collect metrics --port 0")


@pytest.fixture(scope="session")
def role(server: Server) -> Iterator[str]:
    """A role with a password, which the server requires."""
    with server.connect("postgres") as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD 'right'")
        server.require_password(ROLE)
        yield ROLE


@pytest.fixture
def url(database: Database, role: str) -> Iterator[str]:
    """The role's URL. Afterwards the changes that a test made to the role are undone."""
    url = make_conninfo(database.url, user=role, password="right")
    until(lambda: not can_connect(database.url, role), "the server asks for the password")
    yield url
    database.run(f"ALTER ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT -1 PASSWORD 'right'")
    database.run(f"ALTER ROLE {role} RESET ALL")


def can_connect(url: str, role: str) -> bool:
    try:
        psycopg.connect(make_conninfo(url, user=role, password="")).close()
    except psycopg.OperationalError:
        return False
    return True


@contextlib.contextmanager
def changed(database: Database, change: str) -> Iterator[None]:
    """Make a change, and undo it after the block if it would disturb the end of the test."""
    with database.server.connect("postgres") as admin:
        # Within the database, unless the change is to the database itself.
        if change.startswith("mailroom"):
            run(change, env=environment(MAILROOM_DATABASE_URL=database.url))
        else:
            (admin if "DATABASE" in change else database.connection).execute(change.format(database.name).encode())
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true".encode())


def run_all(commands: tuple[str, ...], env: dict[str, str]) -> list[tuple[str, Finished]]:
    """Run commands at once, each to its end."""
    with ThreadPoolExecutor() as pool:
        return list(zip(commands, pool.map(lambda command: run(command, env=env), commands), strict=True))


def logged(lines: str) -> list[tuple[str, str]]:
    """Return level and message of each log line about the database."""
    return [(line["level"], line["message"]) for line in map(json.loads, lines.splitlines())]


REFUSED: list[tuple[str, dict[str, str], str, str, tuple[str, ...]]] = [
    # What is changed in the database, and in the URL; what is said; what to do; by whom.
    ("", {"password": "wr0ng"}, "password authentication failed for user", "correct the password", ALL),
    ("", {"password": ""}, "no password supplied", "correct the password", ALL),
    ("ALTER ROLE refused NOLOGIN", {}, "is not permitted to log in", "let this role in, in pg_hba.conf", ALL),
    ("", {"user": "nobody_here"}, 'role "nobody_here" does not exist', "create it, or correct", ALL),
    ("", {"dbname": "nowhere"}, 'database "nowhere" does not exist', "create it, or correct", ALL),
    (
        "ALTER ROLE refused NOSUPERUSER; REVOKE CONNECT ON DATABASE {} FROM PUBLIC", {},
        "permission denied for database", "grant CONNECT", ALL,
    ),
    ("ALTER DATABASE {} ALLOW_CONNECTIONS false", {}, "not currently accepting connections", "find out why", ALL),
    ("", {"sslmode": "nonsense"}, 'invalid sslmode value: "nonsense"', "correct MAILROOM_DATABASE_URL", ALL),
    ("", {"sslmode": "require"}, "server does not support SSL", "correct its sslmode", ALL),
    ("mailroom-collect migrate --to 0 --yes", {}, "is outdated", "run 'mailroom-collect migrate'", ALL),
    ("mailroom-collect migrate --to -1 --yes", {}, "has no mailroom schema", "run 'mailroom-collect migrate'", ALL),
    (
        "ALTER ROLE refused NOSUPERUSER", {}, "permission denied for function mailroom_", "grant it (", ALL,
    ),
    (
        "ALTER ROLE refused SET default_transaction_read_only TO on", {}, "the database is read-only: cannot execute",
        "set default_transaction_read_only to off", STEPS,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[2])
def test_configuration_error_ends_everything_with_2(
    case: tuple[str, dict[str, str], str, str, tuple[str, ...]], database: Database, url: str, pipeline_env: Environment
) -> None:
    """At the start all print the same words, at level error, with what to do."""
    change, parts, said, hint, commands = case
    messages = set()
    with running_proxy(postgres_target(database.server.folder)) as proxy:
        tcp: dict[str, str | int] = {"host": "127.0.0.1", "port": proxy.port} if "sslmode" in parts else {}
        env = pipeline_env(MAILROOM_DATABASE_URL=make_conninfo(url, **parts, **tcp), MAILROOM_LOG_FORMAT="json")
        with changed(database, change):
            for command, finished in run_all(commands, env):
                level, message = logged(finished.err)[-1]
                assert (finished.status, level) == (2, "error"), (command, message)
                assert said in message, command
                assert hint in message, command
                assert "wr0ng" not in finished.err
                messages.add(message)
    if "function" not in said and "read-only" not in said:
        assert len(messages) == 1, messages


def test_unknown_queue_is_named_beside_the_known_ones(pipeline_env: Environment) -> None:
    """Both programs and the commands use the same words."""
    env = pipeline_env(MAILROOM_QUEUE_NAME="mialroom", MAILROOM_LOG_FORMAT="json")
    said = {(finished.status, *logged(finished.err)[-1]) for _, finished in run_all(ALL, env)}
    hint = 'there is no queue "mialroom" in this database; set MAILROOM_QUEUE_NAME to one of: mailroom'
    assert said == {(2, "error", hint)}


@pytest.mark.parametrize(
    ("change", "parts", "said"),
    [
        ("", {"host": "256.256.256.256"}, "correct the host in MAILROOM_DATABASE_URL, if it stays so"),
        ("", {"host": "127.0.0.1", "port": "9"}, "check MAILROOM_DATABASE_URL and whether the server runs"),
        (
            "ALTER ROLE refused NOSUPERUSER CONNECTION LIMIT 0", {},
            "the server takes no more connections: connection failed:",
        ),
    ],
)  # fmt: skip
def test_temporary_error_is_waited_for_by_both(
    change: str, parts: dict[str, str], said: str, database: Database, url: str, pipeline_env: Environment
) -> None:
    """Both warn in the same words. A command does not wait, and ends with 2."""
    env = pipeline_env(MAILROOM_DATABASE_URL=make_conninfo(url, **parts), MAILROOM_LOG_FORMAT="json")
    messages = set()
    with (
        changed(database, change),
        running("mailroom-collect", env) as one,
        running("sleep 60 | mailroom-send", env) as other,
    ):
        for program in (one, other):
            program.says(said, 2)
            levels = {level for level, message in logged(program.err) if said in message}
            assert levels == {"warning"}
            messages |= {message.rpartition("; ")[0] for _, message in logged(program.err) if said in message}
        finished = run("mailroom-collect status", env=env)
    ((level, message),) = logged(finished.err)
    assert (finished.status, level, messages) == (2, "error", {message})


@pytest.mark.first
def test_configuration_error_is_waited_for_once_it_has_worked(
    database: Database, url: str, pipeline_env: Environment, endpoint: Endpoint, tmp_path: Path
) -> None:
    """It is logged as an error. A new password in the file or a failover needs no restart."""
    file = tmp_path / "url"
    file.write_text(url)
    env = pipeline_env(MAILROOM_DATABASE_URL_FILE=str(file), MAILROOM_LOG_FORMAT="json")
    del env["MAILROOM_DATABASE_URL"]

    def lose_sessions() -> None:
        database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mailroom-%%'")

    with running(PIPELINE, env) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up("ann")
        until(lambda: database.states() == {"sent": 1}, "the pipeline works")
        database.run("ALTER ROLE refused PASSWORD 'n3w'")
        endpoint.decide = lambda _: lose_sessions()
        database.sign_up("ben")
        pipeline.says("password authentication failed", 6)
        refusals = [line for line in map(json.loads, pipeline.err.splitlines()) if "authent" in line["message"]]
        assert {line["level"] for line in refusals} == {"error"}
        assert {line["program"] for line in refusals} == {"mailroom-collect", "mailroom-send"}
        endpoint.decide = lambda _: None
        file.write_text("")
        pipeline.says("url is empty", 2)
        file.write_text(make_conninfo(url, password="n3w"))
        until(lambda: database.states() == {"sent": 2}, "the pipeline works again")
        database.run("ALTER ROLE refused SET default_transaction_read_only TO on")
        lose_sessions()
        pipeline.says("the database is read-only", 3)
        database.run("ALTER ROLE refused RESET ALL")
        database.sign_up("cid")
        until(lambda: database.states() == {"sent": 3}, "the pipeline works once more")
        assert "n3w" not in pipeline.err
