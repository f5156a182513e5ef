"""README and docs describe what the programs do. Their tables are compared with the code, and their code is run."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from mailroom_collector.cli import cli as collect
from mailroom_sender.cli import cli as send
from tests.support.ledger import Steps
from tests.support.lines import field_of, secret_of
from tests.support.pages import ROOT, blocks, pages
from tests.support.postgres import Database
from tests.support.processes import KEY

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
FIELD = "Qg84W2nmW8ClkDGZBdoC7UXM0BakAhmlBmR4emc4JJji0aMHLqfdM07rn1sHN8tvGk9go-hsKJMwvtqdGm5Cjw"
SECRET = bytes.fromhex("420f385b69e65bc0a590319905da02ed45ccd016a40219a50664787a67382498")
SPOILT = [FIELD[:-1] + "x", "A" + FIELD[1:], FIELD + "A", FIELD[:-2], ""]


def test_readme_is_read_in_five_minutes() -> None:
    """At most 150 lines and 1,500 words; everything else has a page in docs."""
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1500


def recipe(language: str) -> str:
    """Return the recipe that checks a token in a language."""
    (found,) = blocks(DOCS / "checking-a-token.md", language)
    return found.text


SHOWN_BY = {
    "the collector is killed": "pipeline/test_pipeline.py::test_killed_collector_loses_nothing",
    "the sender is killed": "pipeline/test_pipeline.py::test_killed_sender_loses_nothing",
    "either is killed or stopped at any step": "pipeline/test_every_step.py::test_promises_hold_at_every_step",
    "the reader of the collector goes away":
        "process/test_collector.py::test_reader_that_goes_away_is_noticed_while_idle",
    "PostgreSQL goes away": "pipeline/test_pipeline.py::test_restarted_database_loses_nothing",
    "wrong password": "process/test_collector.py::test_wrong_password_needs_an_operator",
    "a transaction commits late": "process/test_collector.py::test_overlapping_transactions_are_both_printed",
    "sign-ups come fast":
        "process/test_collector.py::test_fast_sign_ups_skip_notify_and_are_printed_all_the_same",
    "a collector that polls fast is killed":
        "process/test_collector.py::test_sign_ups_that_skipped_notify_are_printed_when_their_collector_dies",
    "a token can't be signed or printed": "process/test_collector.py::test_odd_logins_are_quoted_or_rejected",
    "notifications don't arrive": "pipeline/test_network.py::test_pgbouncer_in_transaction_mode",
    "a network swallows packets": "pipeline/test_network.py::test_stalled_network_is_noticed_by_both",
    "rows are read and nobody begins them":
        "pipeline/test_pipeline.py::test_reader_that_acknowledges_no_row_is_logged",
    "a transaction of the application stays open":
        "pipeline/test_pipeline.py::test_transaction_that_deletes_an_account_delays_only_its_mail",
    "SES can't take an address": "pipeline/test_attacks.py::test_addresses_reach_nobody_else",
    "SES throttles": "process/test_sender.py::test_throttling_slows_all_calls_down",
    "daily quota used up": "pipeline/test_pipeline.py::test_held_account_stops_all_calls_and_then_continues",
    "a template does not exist": "pipeline/test_pipeline.py::test_missing_template_delays_only_its_action",
    "SES refuses a call and names a recipient":
        "process/test_sender_faults.py::test_named_recipient_fails_alone",
    "SES refuses every mail": "pipeline/test_faults.py::test_refusal_of_everything_puts_all_rows_back",
    "SES refuses a call for one row's fault":
        "process/test_sender.py::test_poisoned_call_is_split_until_the_row_is_alone",
    "SES's answer is lost": "process/test_sender.py::test_lost_answer_is_repeated_and_counted_as_a_doubt",
    "SES's answer is not there in full": "unit/test_ses_calls.py::test_answer_that_trickles_ends_at_the_deadline",
    "a connection to SES was idle":
        "unit/test_ses_calls.py::test_long_idle_connection_is_not_used_again",
    "a token's action is not in `mailroom_actions`": "pipeline/test_actions.py::test_token_waits_for_its_action",
    "an action is added": "pipeline/test_actions.py::test_guide_is_followed_while_the_pipeline_runs",
    "a line or row is bad": "process/test_sender_hardships.py::test_invalid_bytes_harm_nothing",
    "a line has more than": "unit/test_line.py::test_line_has_a_limit_of_rows",
    "the sender has no database": "process/test_sender.py::test_row_of_a_missing_template_goes_to_a_replay_file",
    "the output folder can't be written":
        "process/test_sender_hardships.py::test_full_disk_stops_the_reading_and_loses_nothing",
    "the main loop of either program hangs":
        "process/test_watchdog.py::test_loop_that_hangs_ends_the_process_and_says_where",
    "SES answers with an error": "process/test_sender.py::test_error_response_is_kept_raw",
    "all users of the machine can read": "process/test_settings.py::test_secrets_come_from_files",
}  # fmt: skip
"""The lines of the tables of failures.md, by how they begin, and a test that shows each."""


def test_each_failure_is_shown_by_a_test() -> None:
    """Each line has a test, and each test that is named exists."""
    lines = re.findall(r"^\| (?!when \||-)([^|]+) \|", (DOCS / "failures.md").read_text(), re.MULTILINE)
    assert [line for line in lines if not any(line.startswith(begins) for begins in SHOWN_BY)] == []
    assert [begins for begins in SHOWN_BY if not any(line.startswith(begins) for line in lines)] == []
    for test in SHOWN_BY.values():
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (Path(__file__).parents[1] / file).read_text(), test


def settings_table() -> dict[str, tuple[str, str]]:
    page = (DOCS / "settings.md").read_text()
    rows = re.findall(r"^\| `(MAILROOM_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    return {name: (program, default.strip()) for name, program, default in rows}


def options(command: click.Command) -> dict[str, click.Option]:
    return {str(p.envvar): p for p in command.params if isinstance(p, click.Option) and p.envvar}


def written(default: Any) -> str:
    """Return a default as settings.md writes it."""
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case str() | int() | Path():
            return f"`{default}`"
        case _:
            return ""


def test_settings_table_lists_every_setting_with_its_default() -> None:
    """The table lists each variable of both programs with its program and its default, and no other variable."""
    expected = {
        "MAILROOM_DATABASE_URL": ("both", "required by collect"),
        "MAILROOM_SECRET_KEY": ("collect", "required"),
    }
    for program, command, other in (("collect", collect, send), ("send", send, collect)):
        for name, option in options(command).items():
            expected[name] = ("both" if name in options(other) else program, written(option.default))
    assert settings_table() == expected


@pytest.mark.parametrize("command", [collect, send])
def test_every_option_has_the_words_of_its_variable(command: click.Command) -> None:
    """--batch-limit is MAILROOM_BATCH_LIMIT. The help names the variable, and no secret is an option."""
    for name, option in options(command).items():
        assert option.opts == ["--" + name.removeprefix("MAILROOM_").lower().replace("_", "-")]
        assert option.show_envvar
        assert option.help
    assert not {"MAILROOM_DATABASE_URL", "MAILROOM_SECRET_KEY"} & options(command).keys()


ACTIVATION = [(FIELD, "activation", ""), *((field, "activation", "") for field in SPOILT)]
RECOVERY = field_of(1, "54321")
OTHERS = [
    (RECOVERY, "password_recovery", "54321"),
    (RECOVERY, "password_recovery", "54320"),
    (RECOVERY, "password_recovery", None),
    (RECOVERY, "password_recovery", ""),
    (RECOVERY, "sign_in", "54321"),  # an unknown action is not treated as a recovery
    (RECOVERY, "activation", "54321"),
    (FIELD, "sign_in", ""),
    (FIELD, "password_recovery", ""),
]
CHECKS: list[tuple[str, str, str | None]] = [*ACTIVATION, *OTHERS]
EXPECTED = [SECRET, *[None] * len(SPOILT), secret_of(1), *[None] * (len(OTHERS) - 1)]
"""The result of each check, for every recipe."""


def test_python_recipe_checks_a_token() -> None:
    """The page's Python code accepts the vectors, and refuses changed ones and those of another action."""
    code = recipe("python")
    names: dict[str, Any] = {}
    exec(code, names)
    check = names["token_secret"]
    assert [check(*one, bytes.fromhex(KEY)) for one in CHECKS] == EXPECTED


def test_node_recipe_checks_a_token(tmp_path: Path) -> None:
    """The page's Node code accepts the vectors, and refuses changed ones and those of another action. Needs Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    code = recipe("js")
    script = tmp_path / "check.js"
    script.write_text(
        f"{code}\nconst key = Buffer.from('{KEY}', 'hex');\nconst checks = {json.dumps(CHECKS)};\n"
        "console.log(JSON.stringify(checks.map(c => tokenSecret(...c, key)).map(s => s && s.toString('hex'))));"
    )
    done = subprocess.run([node, script], capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout) == [secret and secret.hex() for secret in EXPECTED]


def test_sql_recipe_checks_a_token(database: Database) -> None:
    """The page's SQL function accepts the vectors, and refuses changed ones and those of another action."""
    database.run("ALTER TYPE token_action ADD VALUE 'sign_in'")
    database.run(recipe("sql"))
    question = "SELECT token_secret(%s, %s::token_action, %s, %s)"
    assert [database.one(question, *one, bytes.fromhex(KEY)) for one in CHECKS] == EXPECTED


LINK_USED = r"^ {4}(UPDATE tokens SET consumed_at = .*?) +-- the link was used\n((?: {4}.*\n)+)"


@pytest.mark.parametrize(
    ("spoil", "is_taken"),
    [
        ("", True),
        ("UPDATE tokens SET consumed_at = 1", False),
        ("UPDATE tokens SET expires_at = floor(extract(epoch FROM now()))", False),
        ("UPDATE tokens SET action = 'password_recovery'", False),
        ("UPDATE tokens SET secret = decode(repeat('00', 32), 'hex')", False),
    ],
    ids=["good", "used", "expired", "another-action", "another-secret"],
)
def test_link_is_used_once_in_time_and_for_its_action(database: Database, spoil: str, *, is_taken: bool) -> None:
    """The README's statement consumes a valid token and returns its account. For any other token it returns no row."""
    ((first, rest),) = re.findall(LINK_USED, README, re.MULTILINE)
    statement = f"{first} {rest}".replace("$1", "%s")
    database.sign_up("ann")
    secret = database.one("SELECT secret FROM tokens")
    if spoil:
        database.run(spoil)
    before = database.run("SELECT consumed_at FROM tokens")
    assert len(database.run(statement, secret)) == is_taken
    assert (database.run("SELECT consumed_at FROM tokens") != before) is is_taken
    assert database.one("SELECT status FROM accounts") == (
        "active" if is_taken or "consumed" in spoil else "provisioned"
    )
    assert database.run(statement, secret) == []


def test_every_statement_that_uses_a_link_is_guarded() -> None:
    """Each statement in the docs that uses a link checks expiry, use and action."""
    for page in pages():
        for statement in re.findall(
            r"UPDATE tokens (?:t )?SET consumed_at[^;]*;|UPDATE tokens (?:t )?SET consumed_at.*?RETURNING",
            page.read_text(),
            re.DOTALL,
        ):
            for guard in ("consumed_at IS NULL", "expires_at > ", "action = "):
                assert guard in statement, (page, statement)


def test_roles_of_the_recipe_can_do_their_steps_and_nothing_else(database: Database) -> None:
    """The grants of roles.md are enough for each program, and neither role can read a table."""
    roles = ("mailroom_collector", "mailroom_sender")
    try:
        database.run(blocks(DOCS / "roles.md", "sql")[0].text)
        tokens = database.sign_up("ann")
        with database.connect() as collector, database.connect() as sender:
            collector.execute("SET ROLE mailroom_collector")
            sender.execute("SET ROLE mailroom_sender")
            assert Steps(collector, "c").claim() == tokens
            assert Steps(collector, "c").extend(tokens) == tokens
            for connection in (collector, sender):
                for actions in ("mailroom_list_actions()", "mailroom_action_settings()"):
                    assert len(connection.execute(f"SELECT {actions}".encode()).fetchall()) == 2
            assert collector.execute("SELECT waiting FROM mailroom_due('mailroom', 9)").fetchone() == (0,)
            assert collector.execute("SELECT mailroom_held('mailroom', 'c', %s)", (tokens,)).fetchall() == [(1,)]
            assert sender.execute("SELECT mailroom_share_rate('s', 'account')").fetchone() == (1,)
            sender.execute("SELECT mailroom_acknowledge('mailroom')")
            secret = database.one("SELECT secret FROM tokens")
            sender.execute("SELECT mailroom_begin_rows('mailroom', 's', 1000, %s, NULL)", ([secret],))
            for connection in (collector, sender):
                assert connection.execute("SELECT paused_at FROM mailroom_watch('mailroom')").fetchall() == [(None,)]
            assert Steps(sender, "s").settle(tokens[0], "sent")
            for connection, forbidden in (
                (collector, "SELECT mailroom_begin_rows('mailroom', 'c', 1000, '{}', NULL)"),
                (collector, "SELECT mailroom_may_mail(1, 'activation')"),
                (collector, "SELECT FROM tokens"),
                (sender, "SELECT FROM mailroom_senders"),
                (sender, "SELECT mailroom_claim_any('mailroom', 's', 1000, 1)"),
                (sender, "SELECT FROM mailroom_actions"),
                (sender, "SELECT FROM accounts"),
                (sender, "SELECT FROM deliveries"),
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden.encode())
    finally:
        for role in roles:
            database.run(f"DROP OWNED BY {role}")
            database.run(f"DROP ROLE {role}")
