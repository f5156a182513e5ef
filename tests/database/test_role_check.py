"""The database part of mailroom-send check: the schema, the queue, and a role with exactly the rights it needs."""

from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from mailroom_sender.check.database_role import actions
from mailroom_sender.check.database_role import database as check_role
from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.check.lone_mails import lone_mails
from tests.support.ledger import add_invitation
from tests.support.postgres import Database, Server

ROLE = "check_sender"
STEPS = (
    "mailroom_list_actions, mailroom_action_settings, mailroom_acknowledge, mailroom_begin_rows, mailroom_settle_rows,"
    " mailroom_give_back, mailroom_share_rate, mailroom_watch"
)


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may call the sender's steps, as docs/roles.md creates it. Yields its URL."""
    database.run(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'hunter2'")
    database.run(f"GRANT EXECUTE ON FUNCTION {STEPS} TO {ROLE}")
    yield make_conninfo(database.url, user=ROLE, password="hunter2")
    database.run(f"DROP OWNED BY {ROLE}")
    database.run(f"DROP ROLE {ROLE}")


def one(findings: list[Finding]) -> tuple[Status, str]:
    (finding,) = findings
    text = f"{finding.found}; {finding.todo}"
    assert "hunter2" not in text
    return finding.status, text


def test_role_of_the_recipe_suffices(database: Database, role: str) -> None:
    """The check reports that it is fit, and changes nothing."""
    database.sign_up("ann")
    assert one(check_role(role, "mailroom")) == (
        Status.OK,
        f"role {ROLE} may do the sender's steps in queue mailroom; ",
    )
    assert database.one("SELECT acknowledged_at FROM jobs") is None
    assert database.states() == {"pending": 1}


def test_actions_of_the_database_are_checked_too(database: Database, role: str) -> None:
    """An action of the application has a template too. Without a database or its grant, two actions are known."""
    add_invitation(database)
    assert [one.template for one in actions(role)] == ["activationv1", "passwordrecoveryv1", "invitationv1"]
    database.run(f"REVOKE EXECUTE ON FUNCTION mailroom_action_settings FROM {ROLE}")
    for url in (None, role, "pw: hunter2"):
        assert [one.template for one in actions(url)] == ["activationv1", "passwordrecoveryv1"]


def test_missing_grant_is_named_with_the_statement(database: Database, role: str) -> None:
    """The statement can be pasted into psql."""
    database.run(f"REVOKE EXECUTE ON FUNCTION mailroom_settle_rows FROM {ROLE}")
    status, text = one(check_role(role, "mailroom"))
    assert (status, text.partition("; ")[2]) == (
        Status.TASK,
        f"GRANT EXECUTE ON FUNCTION mailroom_settle_rows TO {ROLE}",
    )


def test_role_that_may_read_tokens_is_a_warning(database: Database, role: str) -> None:
    """A sender needs no table. The right to read one column is enough for the warning."""
    database.run(f"GRANT SELECT (secret) ON tokens TO {ROLE}")
    status, text = one(check_role(role, "mailroom"))
    assert (status, f"role {ROLE} may read tokens" in text) == (Status.WARNING, True)


def test_paused_queue_is_an_error(database: Database, role: str) -> None:
    """Nothing would be sent."""
    database.run("SELECT mailroom_pause('mailroom', 'a copy')")
    assert one(check_role(role, "mailroom")) == (
        Status.TASK,
        "queue mailroom is paused (a copy): nothing is sent; mailroom-collect resume",
    )


def test_functions_that_everybody_may_execute_are_a_warning(database: Database, role: str) -> None:
    """This happens after a restore without rights."""
    database.run("GRANT EXECUTE ON FUNCTION mailroom_settle TO PUBLIC")
    status, text = one(check_role(role, "mailroom"))
    assert (status, "every role may execute 1 function of mailroom" in text) == (Status.WARNING, True)


def test_superuser_is_a_warning(database: Database) -> None:
    """The tests connect as a superuser."""
    status, text = one(check_role(database.url, "mailroom"))
    assert (status, "is a superuser" in text) == (Status.WARNING, True)


def test_refused_role_gets_one_remedy(database: Database) -> None:
    """It is the one that fits. If pg_hba.conf does not let the role in, a password does not help."""
    status, text = one(check_role(make_conninfo(database.url, user="nobody_here"), "mailroom"))
    assert (status, text.count(";")) == (Status.TASK, 1)
    assert text.endswith("; create it, or correct MAILROOM_DATABASE_URL")
    status, text = one(check_role("host=127.0.0.1 port=9 dbname=x", "mailroom"))
    assert (status, text.rpartition("; ")[2]) == (
        Status.TASK,
        "check MAILROOM_DATABASE_URL and whether the server runs",
    )


def test_unknown_queue_is_reported(database: Database, role: str) -> None:
    """It is no value of job_type, or has no row in jobs, for a role that may read it."""
    assert "there is no queue post" in one(check_role(role, "post"))[1]
    database.run("ALTER TYPE job_type ADD VALUE 'post'")
    status, text = one(check_role(database.url, "post"))
    assert (status, text) == (Status.TASK, "queue post has no row in jobs; insert that row in jobs")


def test_missing_schema_is_named(server: Server) -> None:
    """The check advises to migrate an empty database."""
    name = server.new_database(template="template1")
    try:
        status, text = one(check_role(server.url(name), "mailroom"))
    finally:
        server.drop_database(name)
    assert status is Status.TASK
    assert "there is no mailroom_list_actions; run 'mailroom-collect migrate'" in text


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [
        (None, Status.WARNING, "nothing is acknowledged"),
        ("pw: hunter2", Status.TASK, "is not a libpq URL"),
        ("host=127.0.0.1 port=9 user=x password=hunter2", Status.TASK, "whether the server runs"),
        ("host=256.256.256.256 user=x password=hunter2", Status.TASK, "correct the host in MAILROOM_DATABASE_URL"),
    ],
)
def test_unreachable_database_is_reported(url: str | None, status: Status, says: str) -> None:
    """No URL, an invalid URL, or a server that is not there. The password is never shown."""
    found, text = one(check_role(url, "mailroom"))
    assert (found, says in text) == (status, True), text


def test_recovery_that_waits_for_other_mails_is_a_warning(database: Database) -> None:
    """As shipped, a lone recovery waits for the batch timeout. The check says how to change that."""
    (found,) = lone_mails(database.url)
    assert (found.status, found.todo.partition(" (")[0]) == (
        Status.WARNING,
        "UPDATE mailroom_actions SET urgent = true WHERE name = 'password_recovery'",
    )
    database.run(found.todo.partition(" (")[0])
    assert [one.status for one in lone_mails(database.url)] == [Status.OK]
    assert lone_mails(None) == []
