"""docs/roles.md: the worst that a role can do. Each function is listed, and each test that it names exists."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.ledger import Steps
from tests.support.pages import ROOT
from tests.support.postgres import Connection, Database

PAGE = (ROOT / "docs" / "roles.md").read_text()


def test_page_names_each_function_that_runs_as_its_owner(database: Database) -> None:
    """It names no other function, and gives a test for each."""
    rows = re.findall(r"^- (`mailroom_[^:]*):(.*?)(?=^- |^$)", PAGE, re.MULTILINE | re.DOTALL)
    named = {name for functions, _ in rows for name in re.findall(r"mailroom_\w+", functions)}
    assert named == {
        name for (name,) in database.run("SELECT proname FROM pg_proc WHERE prosecdef AND proname LIKE 'mailroom%'")
    }
    assert all("`test_" in rest for _, rest in rows)


def test_tests_that_the_page_names_exist() -> None:
    """They have these names."""
    written = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    for name in set(re.findall(r"`(test_\w+)`", PAGE)):
        assert f"def {name}(" in written, name


@pytest.fixture
def stranger(database: Database) -> Iterator[Connection]:
    """A role that may connect, and has its own schema."""
    database.run("CREATE ROLE stranger; CREATE SCHEMA strange AUTHORIZATION stranger")
    with database.connect() as connection:
        connection.execute("SET ROLE stranger")
        yield connection
    database.run("DROP OWNED BY stranger; DROP ROLE stranger")


def test_triggers_can_be_attached_to_nothing_else(database: Database, stranger: Connection) -> None:
    """No table of another role can call the trigger functions that write into the ledger as the owner."""
    stranger.execute("CREATE TABLE strange.mine (id bigint)")
    functions = database.run(
        "SELECT oid::regproc::text FROM pg_proc WHERE prosecdef AND prorettype = 'trigger'::regtype ORDER BY 1"
    )
    assert len(functions) == 4
    for (function,) in functions:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(
                "CREATE TRIGGER t AFTER INSERT ON strange.mine REFERENCING NEW TABLE AS inserted"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()".encode()
            )


@pytest.mark.parametrize(
    "step",
    [
        "mailroom_claim('mailroom', 'me', 86400001, 1)",
        "mailroom_claim_any('mailroom', 'me', 86400001, 1)",
        "mailroom_extend('mailroom', 'me', 86400001, '{1}')",
        "mailroom_begin('mailroom', 'me', 86400001, '{}')",
        "mailroom_begin_rows('mailroom', 'me', 86400001, '{}', NULL)",
    ],
)
def test_no_lease_lasts_longer_than_a_day(database: Database, step: str) -> None:
    """Prune relies on it. A program that is gone can hold mail back for a day at most."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="a lease may last for 1 day at most"):
        database.run(f"SELECT {step}")
    database.run(f"SELECT {step.replace('86400001', '86400000')}")


def answers(database: Database, *functions: str) -> str:
    return " ".join(str(database.run(f"SELECT * FROM {function}")) for function in functions)


@pytest.fixture
def database_with_mails(database: Database) -> Database:
    """A delivery in each state, with unique words."""
    tokens = database.sign_up("nameann", "nameben", "namecid", "namedan")
    steps = Steps(database.connection)
    steps.claim(3)
    steps.begin(tokens[:3])
    steps.settle(tokens[0], "sent")
    steps.settle(tokens[1], "failed")
    return database


def secrets_of(database: Database) -> list[str]:
    rows = database.run("SELECT encode(secret, 'hex'), code FROM tokens")
    return [text for secret, code in rows for text in (secret, repr(bytes.fromhex(secret))[2:-1], f"'{code}'")]


def test_monitor_sees_nobodys_address(database_with_mails: Database) -> None:
    """The result has no login, address, secret or code."""
    said = answers(
        database_with_mails,
        "mailroom_queue('mailroom')",
        "mailroom_queue_status('mailroom')",
        "mailroom_unsettled('mailroom')",
        "mailroom_oldest('mailroom')",
        "mailroom_recent('mailroom')",
        "mailroom_pulse('mailroom', 60)",
        "mailroom_latency('mailroom', '{0.5}')",
        "mailroom_settlements('mailroom', now() - interval '1 hour', '3:3:', pg_current_snapshot(), '{1}')",
        "mailroom_outlook('mailroom', NULL)",
    )
    assert "failed" in said
    assert not [text for text in ["name", "@example.com", *secrets_of(database_with_mails)] if text in said]


def test_operator_sees_no_secret(database_with_mails: Database) -> None:
    """It sees the logins and addresses of what was not mailed."""
    said = answers(database_with_mails, "mailroom_not_mailed('mailroom', NULL, NULL, NULL, NULL, NULL, 10)")
    assert "nameben@example.com" in said
    assert "nameann" not in said
    shown = answers(
        database_with_mails, *(f"mailroom_show('mailroom', 'token', '{token}', 5)" for token in range(1, 5))
    )
    assert "nameann@example.com" in shown
    assert not [text for text in secrets_of(database_with_mails) if text in said + shown]


def test_retry_puts_back_nothing_that_was_sent(database_with_mails: Database) -> None:
    """Of the given tokens it puts back only the failed ones."""
    assert dict(
        database_with_mails.run("SELECT token, refused FROM mailroom_retry('mailroom', '{1,2,3,4}', false)")
    ) == {
        1: "already sent",
        2: None,
        3: "it is not given up: sending",
        4: "it is not given up: pending",
    }
