"""Hostile values of an account and hostile answers of SES do no harm, and secrets are not leaked."""

import base64
import html
import json
import os
import re
from pathlib import Path

from mailroom_collector.settings import CollectorSettings
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.settings import SenderSettings
from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.lines import activation
from tests.support.postgres import Database
from tests.support.processes import KEY, run, running
from tests.support.ses_endpoint import Call, Endpoint, Reply, refused
from tests.support.waiting import until

HARMLESS = [  # mailed unchanged
    'ann","secret":"mine',
    "ann,1,evil@example.com,evil,AAAA,12345",
    '"ann"',
    '","',
    "\\",
    "{{secret}} {{{login}}} {{#each x}}",
    "<script>alert(1)</script>",
    "ann&amp;<b>",
    "ann\u202egnp.exe",
    "ann\u2028[PG] forged",
    "';DROP TABLE accounts;--",
    "%s%n{0}$(id)`id`",
    "=cmd|' /C calc'!A0",
    "\ud83d\udca9".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x" * 254,
]
REFUSED = [  # rejected with a reason
    "ann\n1,evil@example.com,evil,AAAA,12345",
    "ann\r\nBcc: evil@example.com",
    "ann\x1b[2J\x1b]0;owned\x07",
    "ann\x9b31m",
    "ann\x7f",
]
ADDRESSES = [  # not exactly one plain address
    "a@b.c,evil@example.com",
    "a@b.c;evil@example.com",
    "a@b.c evil@example.com",
    "<evil@example.com>",
    '"Ann" <evil@example.com>',
    "a@b.c\r\nBcc: evil@example.com",
    "a@b.c\x1b[2J",
    "a@b@example.com",
    "@example.com",
    "ann@",
    "ann",
]
LOG_LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(PG|SES)\] [^\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]*")


def account(database: Database, email: str, login: str) -> None:
    database.run("INSERT INTO accounts (email, login) VALUES (%s, %s)", email, login)


def test_logins_forge_nothing(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Each hostile login is mailed once, to its own address and as data only, or is rejected. No other mail is sent."""
    for number, login in enumerate(HARMLESS + REFUSED):
        account(database, f"u{number}@example.com", login)
    with running(PIPELINE, pipeline_env(MAILROOM_BATCH_LIMIT="100")) as pipeline:
        until(lambda: database.states() == {"sent": len(HARMLESS), "failed": len(REFUSED)}, "all are settled")
        assert all(LOG_LINE.fullmatch(line) for line in pipeline.err.splitlines())
    mailed = {address: json.loads(data) for _, address, data in endpoint.mailed}
    assert {address: data["login"] for address, data in mailed.items()} == {
        f"u{number}@example.com": html.escape(login, quote=False) for number, login in enumerate(HARMLESS)
    }
    secrets = {base64.urlsafe_b64decode(data["secret"] + "==")[:32] for data in mailed.values()}
    assert secrets <= {bytes(secret) for (secret,) in database.run("SELECT secret FROM tokens")}
    assert all(data.keys() == {"login", "secret"} for data in mailed.values())


def test_addresses_reach_nobody_else(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """A value that is not exactly one address fails with a reason. The next row is mailed."""
    for number, address in enumerate(ADDRESSES):
        account(database, address, f"u{number}")
    account(database, "good@example.com", "good")
    with running(PIPELINE, pipeline_env(MAILROOM_BATCH_LIMIT="100")) as pipeline:
        until(lambda: database.states() == {"sent": 1, "failed": len(ADDRESSES)}, "all are settled")
        assert all(LOG_LINE.fullmatch(line) for line in pipeline.err.splitlines())
    assert endpoint.addresses == ["good@example.com"]


def test_answers_of_ses_forge_no_log_line(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """SES's words are one line of the log and of stdout, without control or format characters."""
    endpoint.decide = lambda _: refused(
        "MessageRejected", "ann@example.com: bad\n2026/01/01 00:00:00 [PG] forged\u2028\u202e\u0085 x"
    )
    with running(PIPELINE, pipeline_env()) as pipeline:
        database.sign_up("ann")
        until(lambda: database.states() == {"failed": 1}, "the row is failed")
        pipeline.prints("\n")  # an answer is printed after it was recorded
        assert all(LOG_LINE.fullmatch(line) for line in pipeline.err.splitlines())
        assert "[PG] forged" not in pipeline.err.replace("\\n2026/01/01 00:00:00 [PG] forged", "")
        assert len(pipeline.out.splitlines()) == 1
        assert pipeline.out.isascii()


def echoing(call: Call) -> Reply:
    """A SES that repeats the whole request in its headers and its body."""
    return refused("MessageRejected", f"cannot send {call.destinations}")


def test_secrets_appear_nowhere(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, sender_env: Environment, tmp_path: Path
) -> None:
    """All output of a run, with all DEBUG logs on, is searched for the key, secrets, codes and passwords."""
    password, aws_secret = "sesame-open-up", "wJalrXUtnFEMI-very-secret"
    secret_env = {
        "MAILROOM_DATABASE_URL": database.url.replace("postgres:@", f"postgres:{password}@"),
        "AWS_SECRET_ACCESS_KEY": aws_secret,
        "PYTHONPATH": str(Path(__file__).parents[1] / "support" / "debugging"),
    }
    assert password in secret_env["MAILROOM_DATABASE_URL"]
    output = ""
    endpoint.decide = echoing
    database.sign_up("ann", "ben")
    database.recovery("ben")
    database.run("UPDATE tokens SET code = '97531'")
    with running(PIPELINE, pipeline_env(**secret_env)) as pipeline:
        until(lambda: database.states() == {"failed": 2, "skipped": 1}, "all are settled")
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(process.name)) == pipeline.process.pid:
                    output += (process / "cmdline").read_bytes().decode()
            except OSError:
                continue
        output += pipeline.err + pipeline.out
    assert "mailroom-send" in output
    assert "DEBUG:" in output  # DEBUG logging was really on
    wrong = [
        ("mailroom-collect", secret_env | {"MAILROOM_DATABASE_URL": f"postgresql://x:{password}@127.0.0.1:1/x y"}),
        ("mailroom-collect", secret_env | {"MAILROOM_SECRET_KEY": KEY + "0"}),
        ("mailroom-collect migrate --to 99", secret_env),
        ("mailroom-send < /dev/null", secret_env | {"MAILROOM_SES_SOURCE": "x"}),
    ]
    for command, settings in wrong:
        done = run(command, env=pipeline_env(**settings))
        assert done.status != 0, command
        output += done.out + done.err
    lone = run("mailroom-send", env=sender_env(**secret_env | {"MAILROOM_DATABASE_URL": ""}),
               stdin=(activation(1) + "\n").encode())  # fmt: skip
    output += lone.out + lone.err
    responses = list((tmp_path / "output").glob("*.http"))
    assert responses
    output += "".join(response.read_text() for response in responses)
    output += str(database.run("SELECT error, message_id, holder FROM deliveries"))
    secrets = {KEY, password, aws_secret, "97531", activation(1).split(",")[3][:40]}
    for (secret,) in database.run("SELECT secret FROM tokens"):
        secrets |= {secret.hex(), base64.urlsafe_b64encode(secret).decode()[:40], str(bytes(secret))[2:30]}
    assert {secret for secret in secrets if secret in output} == set()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "output").iterdir()} == {0o600}


def test_settings_show_no_secret() -> None:
    """Settings printed in a debugger or a crash report contain neither the key nor the database's password."""
    hidden = {name for name, field in CollectorSettings.__dataclass_fields__.items() if not field.repr}
    assert hidden == {"secret_key"}
    assert "secret" not in " ".join(SenderSettings.__dataclass_fields__)
    url = DatabaseUrl(None, {"MAILROOM_DATABASE_URL": "postgresql://app:hunter2@db/app", "PGPASSWORD": "hunter2"})
    assert "hunter2" not in repr(url)
