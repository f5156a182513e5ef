"""status, show, failed, retry, prune and metrics as processes, as a person, a monitor and a script use them."""

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailroom_collector.operations.metrics.settlement_counts import BOUNDS
from tests.conftest import Environment
from tests.support.ledger import Steps
from tests.support.postgres import Database, Server, running_server
from tests.support.processes import Running, environment, run, running
from tests.support.ptys import open_pty
from tests.support.ses_endpoint import Endpoint, accepted
from tests.support.waiting import until

PIPELINE = "trap : TERM INT; set -o pipefail; mailroom-collect | mailroom-send"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def env(database: Database) -> dict[str, str]:
    """An operator's environment: the URL, and no key."""
    env = environment(MAILROOM_DATABASE_URL=database.url)
    del env["MAILROOM_SECRET_KEY"]
    return env


def failures(database: Database, *logins: str) -> list[int]:
    """Let deliveries fail; return their tokens."""
    tokens = database.sign_up(*logins)
    steps = Steps(database.connection)
    steps.claim(len(tokens))
    steps.begin(tokens)
    for token in tokens:
        steps.settle(token, "failed")
    return tokens


def documented(page: str, heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading."""
    section = (DOCS / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {
        name for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


# status


def test_status_follows_a_mail(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, env: dict[str, str]
) -> None:
    """It waits. Then it is sent, with its latency, or failed, with its reason. Each key of the JSON is documented."""
    (ann,) = database.sign_up("ann")
    before = json.loads(run("mailroom-collect status --json", env=env).out)
    assert (before["waiting"]["due"], before["oldest"]["token"], before["acknowledged_at"]) == (1, ann, None)
    endpoint.replies.append(accepted([("Success", "m")]))
    endpoint.replies.append(accepted([("MessageRejected", "no: ben@example.com")]))
    with running(PIPELINE, pipeline_env()) as pipeline:
        until(lambda: database.state(ann) == "sent", "ann is sent")
        (ben,) = database.sign_up("ben")
        until(lambda: database.state(ben) == "failed", "ben is failed")
        after = json.loads(run("mailroom-collect status --json", env=env).out)
        assert pipeline.stop() == 0
    assert (after["waiting"]["due"], after["oldest"], after["sent"]["minute"]) == (0, None, 1)
    assert after["reasons"] == [{"state": "failed", "reason": "MessageRejected", "minute": 1, "hour": 1, "day": 1}]
    assert after["latency_ms"]["p50"] > 0
    assert after["acknowledged_at"]
    assert after["notifications"]["arrive"] is True
    keys = {key if not isinstance(value, dict) else f"{key}.{inner}" for key, value in (before | after).items()
            for inner in (value if isinstance(value, dict) else [""])}  # fmt: skip
    keys |= {f"oldest.{key}" for key in before["oldest"]} | {f"reasons.{key}" for key in after["reasons"][0]}
    keys |= {"paused.since", "paused.reason"}
    keys |= {f"leases.{key}" for key in ("holder", "state", "deliveries", "until", "lapsed")}
    keys |= {f"actions.{key}" for key in before["actions"][0]}
    assert documented("operations.md", "status") == keys - {"oldest", "reasons", "leases", "paused", "actions"}


def test_status_shows_the_leases_of_each_process(database: Database, env: dict[str, str]) -> None:
    """They are a table, without colours outside a terminal."""
    database.sign_up("ann", "ben")
    Steps(database.connection, "collect:web1:4711:0123456789abcdef").claim()
    out = run("mailroom-collect status", env=env).out
    assert re.search(r"^  in the pipe +2$", out, re.MULTILINE)
    assert re.search(r"^  collect web1 pid 4711  claimed  2  for (2\d|30) s more$", out, re.MULTILINE)
    assert "\x1b" not in out


def test_status_reports_fast_polling(database: Database, env: dict[str, str]) -> None:
    """It does not take the lock to find out."""
    with database.connect() as collector:
        Steps(collector).start_fast_polling()
        assert "one polls fast" in run("mailroom-collect status", env=env).out
    assert "inserts notify" in run("mailroom-collect status", env=env).out


def test_status_counts_connections(database: Database, env: dict[str, str], collector_env: Environment) -> None:
    """This works for a role that can't read other sessions' queries. Its own connection is not counted."""
    database.run("DROP ROLE IF EXISTS monitor")
    database.run("CREATE ROLE monitor LOGIN")
    database.run(
        "GRANT EXECUTE ON FUNCTION mailroom_queue_status, mailroom_unsettled, mailroom_oldest, mailroom_recent,"
        " mailroom_pulse, mailroom_latency, mailroom_outlook TO monitor"
    )
    database.sign_up("ann")
    database.run("UPDATE deliveries SET due_at = due_at - interval '1 min'")
    url = {"MAILROOM_DATABASE_URL": database.url.replace("//postgres:@", "//monitor:@")}
    try:
        out = run("mailroom-collect status", env=env | url).out
        assert url["MAILROOM_DATABASE_URL"] != database.url
        assert re.search(r"collectors +none is connected; due deliveries have waited for 1 min", out)
        with running("exec mailroom-collect > /dev/null", collector_env()) as collector:
            collector.says("listening")
            out = run("mailroom-collect status", env=env | url).out
            assert re.search(r"senders +no sessions connected", out)
            assert re.search(r"collectors +1 session connected", out)
            assert collector.stop() == 0
        refused = run("mailroom-collect failed", env=env | url)
        assert refused.status == 2
        assert "grant it (docs/operations.md, 'The roles')" in refused.err
    finally:
        database.run("DROP OWNED BY monitor")
        database.run("DROP ROLE monitor")


def test_q_ends_the_watch_that_fits_24_lines(database: Database, env: dict[str, str]) -> None:
    """All figures are shown, omitted lines are counted, and the terminal is restored."""
    tokens = database.sign_up(*(f"u{n}" for n in range(12)))
    for n, token in enumerate(tokens):
        steps = Steps(database.connection, f"collect:web{n}:4711:0123456789abcdef")
        steps.claim(1)
        steps.begin([token])
        steps.settle(token, "failed")
    database.run("UPDATE deliveries SET error = repeat('x', token::integer)")
    with Terminal("mailroom-collect status --watch; stty -a", env, rows=24) as terminal:
        terminal.says("q or Ctrl-C ends it")
        page = terminal.text.partition("\x1b[H")[2].partition("\x1b[J")[0]
        for words in (
            "waiting, due now",
            "failed",
            "skipped",
            "may have been sent twice",
            "notifications",
            "more lines",
        ):
            assert words in page
        assert page.count("\r\n") == 23
        os.write(terminal.master, b"q")
        assert terminal.process.wait(timeout=20) == 0
        assert re.search(r"(?<!-)icanon", terminal.read())


@pytest.mark.parametrize(("age", "status"), [(5, 0), (61, 1)])
def test_check_is_for_monitors(database: Database, env: dict[str, str], age: int, status: int) -> None:
    """The exit status is 0 while mail flows, and 1 when a token waits too long. The output is one line."""
    database.sign_up("ann")
    database.run("UPDATE deliveries SET queued_at = queued_at - %s * interval '1 s'", age)
    result = run("mailroom-collect status --check --max-age 60", env=env)
    assert (result.status, result.out.count("\n"), result.err) == (status, 1, "")


def test_late_mails_are_shown_everywhere(database: Database, env: dict[str, str]) -> None:
    """At the rate that the ledger shows, 900 of 1,000 mails of an import expire before their turn."""
    database.sign_up_many(1_003)
    database.run("UPDATE deliveries SET queued_at = queued_at - interval '1 min', due_at = due_at - interval '1 min'")
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now() + interval '1 min' WHERE token <= 3")
    text = run("mailroom-collect status", env=env).out
    words = r"at 0\.1 mails a second, (\d+) of 1,000 waiting mails expire before their turn"
    late = re.search(rf"  LATE +{words}", " ".join(text.split()).replace("LATE", "  LATE"), re.IGNORECASE)
    assert late
    assert 905 <= int(late[1]) <= 915
    assert re.search(r"^  activation +1,000 +1 min( \d s)? +9\d\d ", text, re.MULTILINE)
    figures = json.loads(run("mailroom-collect status --json", env=env).out)
    assert (figures["rate_per_s"], figures["actions"][0]["action"]) == (0.1, "activation")
    check = run("mailroom-collect status --check --max-age 3600", env=env)
    assert check.status == 1
    assert re.fullmatch(words + r"\n", check.out)
    with running(METRICS, env) as exporter:
        values = Scraped(exporter).values()
    action = '{action="activation",queue="mailroom"}'
    assert values[f"mailroom_deliveries_waiting{action}"] == 1000
    assert 905 <= values[f"mailroom_deliveries_late{action}"] <= 915
    assert values[f"mailroom_new_token_wait_seconds{action}"] == 0
    assert 60 <= values[f"mailroom_oldest_waiting_age_seconds{action}"] < 120


def test_paused_queue_is_shown_everywhere(env: dict[str, str]) -> None:
    """The text begins with it, and JSON and the check have it, until it is resumed. A second resume changes nothing."""
    assert run("mailroom-collect pause --reason 'a copy'", env=env).out.startswith("queue mailroom is paused since 2")
    shown = run("mailroom-collect status", env=env).out.splitlines()
    assert re.fullmatch(r"  PAUSED +since \S+ \S+ UTC: a copy; nothing is sent until .*", shown[1])
    reported = json.loads(run("mailroom-collect status --json", env=env).out)["paused"]
    assert (reported["reason"], reported["since"].endswith("Z")) == ("a copy", True)
    check = run("mailroom-collect status --check --max-age 60", env=env)
    assert (check.status, check.out.endswith(" UTC: a copy\n")) == (1, True)
    assert run("mailroom-collect resume", env=env).out.startswith("queue mailroom is resumed; it was paused since 2")
    assert run("mailroom-collect resume", env=env).out == "queue mailroom is not paused\n"
    assert json.loads(run("mailroom-collect status --json", env=env).out)["paused"] is None
    for reason in ("", "two\nlines", "x" * 501):
        refused = run(f"mailroom-collect pause --reason {shlex.quote(reason)}", env=env)
        assert (refused.status, "--reason is not allowed" in refused.err) == (2, True)


def test_functions_that_everybody_may_execute_are_reported(database: Database, env: dict[str, str]) -> None:
    """This happens after a restore without rights.

    migrate, status and its check report it, and migrate prints the statement to fix it.
    """
    database.run("GRANT EXECUTE ON FUNCTION mailroom_claim_any, mailroom_settle_rows TO PUBLIC")
    assert "every role may execute 2 functions of mailroom" in " ".join(
        run("mailroom-collect status", env=env).out.split()
    )
    functions = json.loads(run("mailroom-collect status --json", env=env).out)["public_functions"]
    assert functions == ["mailroom_claim_any", "mailroom_settle_rows"]
    check = run("mailroom-collect status --check --max-age 60", env=env)
    assert (check.status, "; every role may execute 2 functions of mailroom" in check.out) == (0, True)
    note = run("mailroom-collect migrate", env=env).out
    database.run(note.partition("and then: ")[2])
    assert "every role" not in run("mailroom-collect migrate", env=env).out
    assert "every role" not in run("mailroom-collect status", env=env).out


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("host=127.0.0.1 port=9 dbname=x", "; check MAILROOM_DATABASE_URL and whether the server runs"),
        ("host=/nowhere", "; check MAILROOM_DATABASE_URL and whether the server runs"),
        ("not a url", "; write it like postgresql://user:password@host:5432/database"),
    ],
    ids=["refused", "no socket", "unreadable"],
)
def test_check_without_a_database_exits_with_2(env: dict[str, str], url: str, hint: str) -> None:
    """An unreachable database differs from waiting mail."""
    result = run("mailroom-collect status --check --max-age 60", env=env | {"MAILROOM_DATABASE_URL": url})
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    shown = run("mailroom-collect status", env=env | {"MAILROOM_DATABASE_URL": url})
    assert (shown.status, shown.err[19:]) == (2, result.err[19:])  # equal except for the time
    assert hint in shown.err


def test_outdated_schema_is_named(server: Server, env: dict[str, str]) -> None:
    """The message says how to upgrade it."""
    database = Database(server, server.new_database())
    try:
        url = {"MAILROOM_DATABASE_URL": database.url}
        assert run("mailroom-collect migrate --to 2 --yes", env=env | url).status == 0
        result = run("mailroom-collect status", env=env | url)
        assert result.status == 2
        assert "is outdated; run 'mailroom-collect migrate'" in result.err
    finally:
        database.close()


def test_migrate_down_asks_on_a_terminal(database: Database, env: dict[str, str]) -> None:
    """It names what would be lost. "No" and Ctrl-C change nothing and end the line."""
    database.sign_up("ann")
    with Terminal("exec mailroom-collect migrate --to -1", env) as terminal:
        terminal.says("this removes everything, with all accounts and tokens; go on? [y/N]")
        os.write(terminal.master, b"n\n")
        assert terminal.process.wait(timeout=20) == 1
        assert terminal.read().endswith("\nnothing was changed\r\n")
    with Terminal("exec mailroom-collect migrate --to 3", env) as terminal:
        terminal.says("[y/N]")
        # Python may miss an interrupt that arrives just before it reads, so it is repeated.
        until(lambda: interrupted(terminal.process), "it ends")
        assert terminal.process.returncode == 130
        assert terminal.read().endswith("\r\n")
    assert database.states() == {"pending": 1}
    with Terminal("exec mailroom-collect migrate --to 3", env) as terminal:
        terminal.says("this removes which queues are paused, and which call began what; the actions of your own, whose")
        os.write(terminal.master, b"y\n")
        terminal.says("ran 4_actions.down")


def interrupted(process: "subprocess.Popen[bytes]") -> bool:
    """Send Ctrl-C, and return whether the process ends within a second."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return process.returncode is not None


class Terminal:
    """A command on its own terminal."""

    def __init__(self, command: str, env: dict[str, str], rows: int = 40, columns: int = 80) -> None:
        self.master, slave = open_pty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            env={**env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self) -> str:
        """Return all output so far."""
        try:
            while data := os.read(self.master, 65536):
                self.text += data.decode()
        except (BlockingIOError, OSError):
            pass
        return self.text

    def says(self, text: str, times: int = 1) -> None:
        until(lambda: self.read().count(text) >= times, f"'{text}' on the terminal, which shows:\n{self.text[-3000:]}")

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


def test_verify_says_that_it_reads_the_terminal() -> None:
    """Without other input it says what it waits for, and how to end it."""
    with Terminal("exec mailroom-collect verify --action activation", environment()) as terminal:
        terminal.says("reading the secret field from the terminal; end it with Enter and Ctrl-D")
        os.write(terminal.master, b"abc\n\x04")
        terminal.says("one has 86 characters, and this has 3")
        assert terminal.process.wait(timeout=20) == 1


def test_watch_shows_changes_and_restores_the_terminal(database: Database, env: dict[str, str]) -> None:
    """It redraws after changes and after a resize. Ctrl-C ends it with 0 and restores cursor and screen."""
    with Terminal("exec mailroom-collect status --watch", env) as terminal:
        terminal.says("none ever acknowledged")
        database.sign_up("ann")
        terminal.says("oldest mailable token                   1.")
        terminal.resize(10, 30)
        os.killpg(terminal.process.pid, signal.SIGWINCH)
        terminal.says("Ctrl-C ends it", 2)
        seen = len(terminal.read())
        until(lambda: "not settled" in terminal.read()[seen:], "it is drawn again")
        page = terminal.text[seen:].partition("\x1b[H")[2].partition("\x1b[J")[0]
        assert max(len(re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", line)) for line in page.split("\r\n")) <= 30
        assert page.count("\r\n") < 10
        os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.process.wait(timeout=20) == 0
        terminal.read()
    assert terminal.text.startswith("\x1b[?1049h\x1b[?25l")
    assert terminal.text.endswith("\x1b[?25h\x1b[?1049l")
    assert "Traceback" not in terminal.text


def test_watch_with_no_color_has_no_colours(env: dict[str, str]) -> None:
    """With NO_COLOR set, no letter is bold or red."""
    with Terminal("exec mailroom-collect status", env | {"NO_COLOR": "1"}) as terminal:
        terminal.says("leases")
        assert "\x1b[" not in terminal.text
    with Terminal("exec mailroom-collect status", env) as terminal:
        terminal.says("leases")
        assert "\x1b[1m" in terminal.text


@pytest.fixture
def restarting(env: dict[str, str]) -> Iterator[tuple[Database, dict[str, str]]]:
    """A database on its own server, which can be restarted, and an operator's environment for it."""
    with running_server() as server:
        database = Database(server, server.new_database())
        yield database, env | {"MAILROOM_DATABASE_URL": database.url}
        database.connection.close()


def test_watch_survives_a_database_outage(restarting: tuple[Database, dict[str, str]]) -> None:
    """It reports the outage, and shows the figures again afterwards."""
    database, env = restarting
    with Terminal("exec mailroom-collect status --watch", env) as terminal:
        terminal.says("none ever acknowledged")
        database.server.restart()
        terminal.says("trying again")
        until(lambda: "trying again" not in terminal.read()[terminal.text.rindex("\x1b[H") :], "it is back")
        assert terminal.process.poll() is None


def test_watch_into_a_pipe_is_lines(env: dict[str, str]) -> None:
    """People get blocks of text, programs get JSON lines. Neither has escape sequences."""
    with running("exec mailroom-collect status --watch --json", env) as watching:
        watching.prints("\n", 2)
        assert {json.loads(line)["queue"] for line in watching.out.splitlines()} == {"mailroom"}
        assert watching.stop() == 0
    with running("exec mailroom-collect status --watch", env) as watching:
        watching.prints("queue mailroom", 2)
        assert "\x1b" not in watching.out
        assert watching.stop() == 0


# show


def test_show_tells_what_became_of_a_person(database: Database, env: dict[str, str]) -> None:
    """It finds the person, a token or a mail, and ends each token with what to do. The JSON has all documented keys."""
    (failed,) = failures(database, "ann")
    (waits,) = database.sign_up("be\x1b[31mn")
    out = run("mailroom-collect show ann@example.com", env=env).out
    assert out.startswith("account 1 ann <ann@example.com>, provisioned\n\ntoken 1  activation  failed\n")
    assert "next        Retry would try it again. mailroom-collect retry --token 1 puts it back." in " ".join(
        out.splitlines()
    )
    person = json.loads(run("mailroom-collect show ann --json", env=env).out)
    (token,) = person["tokens"]
    keys = {*person, *(f"tokens.{key}" for key in token), *(f"tokens.next.{key}" for key in token["next"])}
    assert keys - {"tokens", "tokens.next"} == documented("operations.md", "show")
    number = run(f"mailroom-collect show {waits}", env=env)
    assert "be\\x1b[31mn" in number.out
    assert "No mail is ahead of it." in number.out
    assert number.err == f"there is also an account {waits}; see it with: mailroom-collect show {waits} --account\n"
    assert run(f"mailroom-collect show {waits} --account", env=env).err == ""
    mailed = "0100018c9f3e6d5a-0a1b2c3d-1111-2222-3333-444455556666-000000"
    database.run("UPDATE deliveries SET state = 'sent', message_id = %s WHERE token = %s", mailed, failed)
    for given in (mailed, f"'<{mailed}@eu-west-1.amazonses.com>'", f"{mailed} --message"):
        assert f"  message id  {mailed}\n" in run(f"mailroom-collect show {given}", env=env).out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "nobody",
            "there is no account, token or mail with the id, login or address 'nobody'; the application may have",
        ),
        ("77 --token", "there is no token '77'; a token is deleted together with its account"),
        ("a-b-c-d", "it may be of another queue (MAILROOM_QUEUE_NAME), or prune has removed it"),
        ("' '", "WHO is empty; give a login, an address, the id of an account or token, or a message id"),
        (r"$'b\xe9n'", "WHO is not valid text; give a login, an address"),
    ],
)
def test_show_says_what_to_do_if_nothing_is_found(env: dict[str, str], given: str, words: str) -> None:
    """The exit status is 1, and 2 if the argument is wrong."""
    result = run(f"mailroom-collect show {given}", env=env)
    assert (result.status, result.out) == (2 if "WHO" in words else 1, "")
    assert words in result.err


# failed, retry


def test_failed_lists_the_newest_first(database: Database, env: dict[str, str]) -> None:
    """It lists account, time, tries and reason. The JSON has all documented keys and never the secret."""
    failures(database, "ann", "be\x1b[31mn")
    result = run("mailroom-collect failed", env=env)
    heads = result.out.splitlines()[::2]
    assert [re.split(r"\s{2,}", line)[1:5] for line in heads] == [
        ["2", "activation", "failed", "1 try"], ["1", "activation", "failed", "1 try"]
    ]  # fmt: skip
    assert "be\\x1b[31mn" in heads[0]
    assert result.out.splitlines()[1] == "    why (retry would try it again)"
    one = json.loads(run("mailroom-collect failed --account ann --json", env=env).out)
    assert one.keys() == documented("operations.md", "failed")
    assert (one["login"], one["reason"], one["attempts"], one["pointless"]) == ("ann", "why", 1, None)
    limited = run("mailroom-collect failed --limit 1", env=env)
    assert limited.err == "there are more than 1; see them with --limit\n"
    assert len(limited.out.splitlines()) == 2


def test_failed_fits_the_terminal(database: Database, env: dict[str, str]) -> None:
    """At 80 columns a long address has its own lines, and a long reason is wrapped."""
    failures(database, "a" * 60)
    database.run("UPDATE deliveries SET error = %s", "because " * 30)
    with Terminal("exec mailroom-collect failed", env | {"NO_COLOR": "1"}) as terminal:
        terminal.says("(retry would try it again)")
        assert f"<{'a' * 60}@example.com>" in terminal.text.replace("\r\n    ", " ")
        assert max(map(len, terminal.text.split("\r\n"))) <= 80


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("--account nobody", "there is no account with the id, login or address 'nobody'"),
        ("--account 99", "there is no account with the id, login or address '99'"),
        ("--account ben@example.com", "account 2 ben: nothing matches; its deliveries: 1 sent"),
        ("--account cid", "account 3 cid: nothing matches; its deliveries: 1 pending"),
        ("--account ann --since 1s --until 0s", "account 1 ann: nothing matches; its deliveries: 1 failed"),
        ("--token 99", "token 99 is not listed: no such token in this queue"),
        ("--token 2", "token 2 is not listed: already sent"),
        ("--token 3", "token 3 is not listed: it is not given up: pending"),
        (
            "--token 1 --reason x",
            "token 1 is not listed: it failed or was skipped, but does not match the other choices",
        ),
        ("--reason xyz", "no reason contains 'xyz'; the reasons of the last day: MessageRejected (1)"),
    ],
)
def test_choice_that_matches_nothing_is_explained(
    database: Database, env: dict[str, str], choice: str, words: str
) -> None:
    """An unknown account, token or reason differs from one without a failure."""
    (_, ben, _) = database.sign_up("ann", "ben", "cid")
    steps = Steps(database.connection)
    steps.claim(2)
    steps.begin([1, 2])
    steps.settle(1, "failed")
    steps.settle(ben, "sent")
    database.run("UPDATE deliveries SET error = 'MessageRejected: no' WHERE token = 1")
    database.run("UPDATE deliveries SET settled_at = settled_at - interval '1 min' WHERE token = 1")
    for command in ("failed", "failed --json", "retry --dry-run"):
        result = run(f"mailroom-collect {command} {choice}", env=env)
        if command.startswith("failed"):
            assert (result.status, result.out) == (0, "")
            assert words in result.err.splitlines()
        elif choice.startswith("--token"):
            assert result.status == 1
            reported = words.replace("is not listed", "would not be put back")
            assert result.out.splitlines()[:2] == ["would put back 0 of 1", reported]
        else:
            assert (result.status, result.out) == (0, "would put back 0 of 0\n")
            assert words in result.err.splitlines()


def test_role_that_may_not_read_accounts_gets_an_error(database: Database, env: dict[str, str]) -> None:
    """It does not get the answer that the account does not exist."""
    database.run("DROP ROLE IF EXISTS operating")
    database.run("CREATE ROLE operating LOGIN")
    database.run("GRANT EXECUTE ON FUNCTION mailroom_not_mailed, mailroom_retry_rows TO operating")
    try:
        url = {"MAILROOM_DATABASE_URL": database.url.replace("//postgres:@", "//operating:@")}
        result = run("mailroom-collect failed --account nobody", env=env | url)
        assert (result.status, result.out) == (0, "")
        assert "no delivery of an account 'nobody' matches; this role may not read" in result.err
        bare = run("mailroom-collect failed --reason x", env=env | url)
        assert (bare.status, bare.err) == (0, "no token that matches failed or was skipped\n")
    finally:
        database.run("DROP OWNED BY operating")
        database.run("DROP ROLE operating")


def test_retry_is_mailed_at_once(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, env: dict[str, str]
) -> None:
    """A running pipeline sends it at once. A pointless retry is named and changes nothing."""
    ann, ben = failures(database, "ann", "ben")
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", ben)
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        result = run("mailroom-collect retry --reason why", env=env)
        assert result.out.splitlines() == ["put back 1 of 2", f"token {ben} is not put back: the token expired"]
        until(lambda: database.state(ann) == "sent", "ann is sent")
        assert pipeline.stop() == 0
    assert endpoint.addresses == ["ann@example.com"]
    again = run(f"mailroom-collect retry --token {ann} --token {ben}", env=env)
    assert again.status == 1
    assert f"token {ann} is not put back: already sent" in again.out
    assert "insert a new token: INSERT INTO tokens" in again.out
    assert database.states() == {"sent": 1, "failed": 1}


def test_retry_of_many_needs_a_confirmation(database: Database, env: dict[str, str]) -> None:
    """On a terminal it asks, a script gives --yes, and a dry run only prints."""
    failures(database, *(f"u{n}" for n in range(12)))
    refused = run("mailroom-collect retry --all", env=env)
    assert (refused.status, refused.out) == (2, "")
    assert "this puts back 12 deliveries, to be tried again at once; give --yes" in refused.err
    assert run("mailroom-collect retry --all --dry-run", env=env).out == "would put back 12 of 12\n"
    with Terminal("exec mailroom-collect retry --all", env) as terminal:
        terminal.says("[y/N]")
        os.write(terminal.master, b"n\n")
        terminal.says("\nnothing was put back")
        assert terminal.process.wait(timeout=20) == 1
    with Terminal("exec mailroom-collect retry --all", env) as terminal:
        terminal.says("[y/N]")
        os.write(terminal.master, b"\x04")
        assert terminal.process.wait(timeout=20) == 130
        assert terminal.read().endswith("\r\n")
    assert database.states() == {"failed": 12}
    assert run("mailroom-collect retry --since 1h --yes", env=env).out == "put back 12 of 12\n"
    assert database.states() == {"pending": 12}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("retry", "nothing is chosen; give --all alone, or one or more of --token"),
        ("retry --all --account ann", "--all and another choice are both given"),
        ("retry --token x", "--token: 'x' is not allowed; give a whole number from 1 to 9223372036854775807"),
        ("failed --since yesterday", "--since: 'yesterday' is not allowed; give a duration such as 90s"),
        ("failed --since 1h --until 2h", "--since is not before --until"),
        ("failed --reason ''", "--reason is empty"),
        (r"failed --account $'b\xe9n'", "--account is not valid text"),
        ("prune", "give --older-than, such as 90d. See 'mailroom-collect prune --help'."),
        ("prune --older-than 30", "--older-than: '30' is not allowed; give a duration such as"),
        ("prune --older-than 23h", "--older-than is less than 1d"),
        ("status --check", "--check and --max-age go together"),
        ("status --max-age 5", "--check and --max-age go together"),
        ("status --check --max-age 5 --json", "--check prints one line"),
        ("metrics --port 70000", "--port: '70000' is not allowed"),
        ("metrics --port 70000", "from 0 to 65535. See 'mailroom-collect metrics --help'."),
        ("metrics", "give --port, such as 9177. See 'mailroom-collect metrics --help'."),
        ("verify", "give --action, such as activation. See 'mailroom-collect verify --help'."),
        ("status extra", "Got unexpected extra argument (extra). See 'mailroom-collect status --help'."),
    ],
)
def test_bad_option_is_named(env: dict[str, str], command: str, message: str) -> None:
    """The message is one line, the exit status is 2, and nothing is changed."""
    result = run(f"mailroom-collect {command}", env=env)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert message in line
    assert result.out == ""


def test_unknown_queue_is_named(env: dict[str, str]) -> None:
    """The message lists the queues that exist."""
    result = run("mailroom-collect --queue-name other status", env=env)
    assert result.status == 2
    assert 'there is no queue "other" in this database; set MAILROOM_QUEUE_NAME to one of: mailroom' in result.err


# prune


@pytest.fixture
def aged(database: Database) -> Database:
    """2,500 deliveries that were settled 40 days ago, and one that was settled today."""
    database.sign_up_many(2500)
    database.run(
        "UPDATE deliveries SET state = CASE WHEN token % 100 = 0 THEN 'failed' ELSE 'sent' END::delivery_state,"
        " settled_at = now() - interval '40 days', queued_at = now() - interval '40 days'"
    )
    database.run("UPDATE tokens SET expires_at = 1")
    database.run("INSERT INTO accounts (email, login) VALUES ('new@example.com', 'new')")
    return database


def test_prune_says_what_it_would_do_and_does_it(aged: Database, env: dict[str, str]) -> None:
    """The dry run prints the same numbers. It works in batches, and keeps young deliveries and all tokens."""
    dry = run("mailroom-collect prune --older-than 30d --dry-run", env=env)
    assert re.fullmatch(r"would remove 2,500 deliveries settled before .* UTC: sent 2,475, failed 25\n", dry.out)
    assert aged.one("SELECT count(*) FROM deliveries") == 2501
    wet = run("mailroom-collect prune --older-than 4w2d", env=env)
    assert (wet.status, wet.out.split(" deliveries")[0], wet.err) == (0, "removed 2,500", "")
    assert aged.states() == {"pending": 1}
    assert aged.one("SELECT count(*) FROM tokens") == 2501


def test_prune_shows_its_progress_on_a_terminal(aged: Database, env: dict[str, str]) -> None:
    """A bar is shown, and removed at the end."""
    with Terminal("exec mailroom-collect prune --older-than 30d", env) as terminal:
        terminal.says("2,500 deliveries")
        terminal.says("removed 2,500")
        assert terminal.process.wait(timeout=20) == 0
        assert "pruning" in terminal.text
    assert aged.states() == {"pending": 1}


def test_prune_beside_a_pipeline_affects_no_mail(
    aged: Database, endpoint: Endpoint, pipeline_env: Environment, env: dict[str, str]
) -> None:
    """People who sign up meanwhile are mailed once."""
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        with running("exec mailroom-collect prune --older-than 30d", env) as pruning:
            aged.sign_up(*(f"m{n}" for n in range(300)))
            assert pruning.wait() == 0
        until(lambda: aged.states() == {"sent": 301}, "all are sent")
        assert pipeline.stop() == 0
    assert sorted(endpoint.addresses) == sorted(["new@example.com", *(f"m{n}@example.com" for n in range(300))])


# metrics


class Scraped:
    """A running exporter, as Prometheus sees it."""

    def __init__(self, exporter: Running) -> None:
        exporter.says("metrics of queue")
        found = re.search(r"http://127\.0\.0\.1:\d+/metrics", exporter.err)
        assert found
        self.url = found[0]

    def text(self) -> str:
        with urllib.request.urlopen(self.url, timeout=10) as response:
            return str(response.read().decode())

    def values(self) -> dict[str, float]:
        """Return each series with its value."""
        lines = [line for line in self.text().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


METRICS = "exec mailroom-collect metrics --port 0"
SENT = 'mailroom_deliveries_settled_total{queue="mailroom",reason="",state="sent"}'
REJECTED = 'mailroom_deliveries_settled_total{queue="mailroom",reason="MessageRejected",state="failed"}'
COUNT = 'mailroom_commit_to_sent_seconds_count{queue="mailroom"}'
UP = 'mailroom_up{queue="mailroom"}'


def test_metrics_follow_a_pipeline_and_never_decrease(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, env: dict[str, str]
) -> None:
    """Counters count each mail once, even if rows are pruned. Fast polling and the oldest age are included."""
    answers = iter([("MessageRejected", "no")])
    endpoint.decide = lambda call: accepted([next(answers, ("Success", "m")) for _ in call.destinations])
    with running(METRICS, env) as exporter, running(PIPELINE, pipeline_env()) as pipeline:
        scraped = Scraped(exporter)
        first = scraped.values()
        assert (first[UP], first[SENT], first[COUNT]) == (1, 0, 0)
        pipeline.says("acknowledging")
        seen: list[float] = []
        for n in range(40):
            database.sign_up(*(f"u{n}.{m}" for m in range(5)))
            seen.append(scraped.values()[SENT])
        until(lambda: database.states() == {"sent": 199, "failed": 1}, "all are settled")
        until(lambda: scraped.values()[SENT] == 199, "all are counted")
        database.run("UPDATE tokens SET expires_at = 1")
        database.run("UPDATE deliveries SET settled_at = settled_at - interval '2 days', queued_at = NULL")
        assert run("mailroom-collect prune --older-than 1d", env=env).out.startswith("removed 200 ")
        database.sign_up("late")
        until(lambda: scraped.values()[SENT] != 199, "an answer is fresh")
        last = scraped.values()
        assert pipeline.stop() == 0
        assert exporter.stop() == 0
    assert seen == sorted(seen)
    assert (last[SENT], last[REJECTED]) == (200, 1)
    buckets = [last[f'mailroom_commit_to_sent_seconds_bucket{{le="{bound}",queue="mailroom"}}'] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    assert buckets[-1] == last[COUNT] == 200
    assert last['mailroom_notifications_arrive{queue="mailroom"}'] == 1


def test_metrics_continue_after_a_database_outage(restarting: tuple[Database, dict[str, str]]) -> None:
    """mailroom_up is 0 meanwhile, and the counters stay. Rows settled meanwhile are counted afterwards."""
    database, env = restarting
    with running(METRICS, env) as exporter, database.server.connect("postgres") as admin:
        scraped = Scraped(exporter)
        (ann,) = database.sign_up("ann")
        database.run("UPDATE deliveries SET state = 'sent', settled_at = now()")
        until(lambda: scraped.values()[SENT] == 1, "ann is counted")
        ours = database.connection.info.backend_pid
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            (database.name, ours),
        )
        until(lambda: scraped.values()[UP] == 0, "it is seen to be away")
        assert scraped.values()[SENT] == 1
        assert "mailroom_oldest_mailable_age_seconds" not in scraped.text()
        (ben,) = database.sign_up("ben")
        database.run("UPDATE deliveries SET state = 'sent', settled_at = now() WHERE token = %s", ben)
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true".encode())
        until(lambda: scraped.values()[SENT] == 2, "ben is counted")
        assert scraped.values()[UP] == 1
        assert exporter.err.count("the database answers again") == 1
    assert ann < ben


def test_metrics_without_a_database_at_the_start_wait_for_it(env: dict[str, str]) -> None:
    """It waits for a server that has not started. A wrong password ends it."""
    with running(METRICS, env | {"MAILROOM_DATABASE_URL": "host=127.0.0.1 port=9 dbname=x"}) as exporter:
        assert Scraped(exporter).values()[UP] == 0
        assert exporter.stop() == 0


def test_metrics_port_that_is_taken_is_named(env: dict[str, str]) -> None:
    """The message is one line, and the exit status is 2."""
    with running(METRICS, env) as exporter:
        port = Scraped(exporter).url.split(":")[2].split("/")[0]
        result = run(f"mailroom-collect metrics --port {port}", env=env)
    assert result.status == 2
    assert f"127.0.0.1 port {port} can't be listened on: Address already in use; give another" in result.err


def test_metrics_without_the_extra_name_it(env: dict[str, str], tmp_path: Path) -> None:
    """Without prometheus-client only this command fails, and it says what to do."""
    (tmp_path / "prometheus_client.py").write_text("raise ImportError")
    result = run("mailroom-collect metrics --port 0", env=env | {"PYTHONPATH": str(tmp_path)})
    assert result.status == 2
    assert "pip install '.[metrics]' in the checkout, or pip install prometheus-client" in result.err


def served(env: dict[str, str], database: Database) -> set[str]:
    """Return the names of all metrics that can be served."""
    failures(database, "ann", "ben")
    database.run("UPDATE deliveries SET state = 'sent', error = NULL WHERE token = 1")
    database.run("UPDATE jobs SET acknowledged_at = now()")
    database.sign_up("cid")
    with running(METRICS, env) as exporter:
        text = Scraped(exporter).text()
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


def test_metrics_in_docs_dashboard_and_alerts_are_served(database: Database, env: dict[str, str]) -> None:
    """docs/metrics.md lists each metric. The dashboard and the alerts use no other."""
    names = served(env, database)
    assert documented("metrics.md", "What is served") == names
    dashboard: Any = json.loads((DOCS / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked.append((DOCS / "alerts.yml").read_text())
    used = {re.sub(r"_(bucket|count|sum)$", "", name) for text in asked for name in re.findall(r"\bmailroom_\w+", text)}
    assert used <= names
    assert len(used) > 10


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_no_fault(env: dict[str, str]) -> None:
    """It checks the names and types of the metrics, and the alert rules."""
    with running(METRICS, env) as exporter:
        text = Scraped(exporter).text()
    for command, given in (
        (["promtool", "check", "metrics"], text),
        (["promtool", "check", "rules", "alerts.yml"], ""),
    ):
        done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=DOCS, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_dashboard_is_laid_out_without_overlaps() -> None:
    """Each panel has its own id and place, and queries the data source that the reader chose."""
    dashboard: Any = json.loads((DOCS / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
