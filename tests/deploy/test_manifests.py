"""What stands in deploy/ for containers: settings that exist, the version at hand, and a local SES that works."""

import json
import re
import socket
import sys
import tomllib
from pathlib import Path

import click

from mailroom_collector.cli import cli as collect
from mailroom_sender.cli import cli as send
from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
FILES = [file for file in (ROOT / "deploy").rglob("*") if file.is_file()]


def settings(command: click.Command) -> set[str]:
    return {str(option.envvar) for option in command.params if isinstance(option, click.Option) and option.envvar}


def test_only_settings_that_exist_are_set() -> None:
    """A misspelt variable would be passed over in silence."""
    known = settings(collect) | settings(send) | {"MAILROOM_DATABASE_URL", "MAILROOM_SECRET_KEY"}
    for file in FILES:
        assert set(re.findall(r"\bMAILROOM_[A-Z_]+", file.read_text())) <= known, file


def test_images_are_of_this_version() -> None:
    """So that an upgrade changes them."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in ("compose.yaml", "kubernetes.yaml"):
        text = (ROOT / "deploy" / name).read_text()
        assert set(re.findall(r"image: \S*mailroom:(\S+)", text)) == {version}
    assert f"mailroom-migrate-{version.replace('.', '-')}\n" in (ROOT / "deploy" / "kubernetes.yaml").read_text()


def test_local_ses_takes_the_mails_and_prints_them(database: Database, pipeline_env: Environment) -> None:
    """The compose file's processes, joined as there: a sign-up comes out as a mail with its link's secret."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(f"exec {sys.executable} {ROOT}/demo/ses.py {port}", {"PATH": "/usr/bin:/bin"}) as ses:
        env = pipeline_env(AWS_ENDPOINT_URL_SES=f"http://127.0.0.1:{port}", MAILROOM_LOG_FORMAT="json")
        with running("trap : TERM; set -o pipefail; mailroom-collect | mailroom-send", env) as pipeline:
            (ann,) = database.sign_up("ann")
            until(lambda: database.state(ann) == "sent", "the activation is sent")
            recovery = database.recovery("ann")
            until(lambda: database.state(recovery) == "sent", "the recovery is sent")
            assert pipeline.stop() == 0
            events = [json.loads(line) for line in pipeline.err.splitlines()]
        ses.prints("\n", 2)
        mails = [json.loads(line) for line in ses.out.splitlines()]
    assert [(mail["to"], mail["template"], mail["data"]["login"]) for mail in mails] == [
        ("ann@example.com", "activationv1", "ann"),
        ("ann@example.com", "passwordrecoveryv1", "ann"),
    ]
    assert all(len(mail["data"]["secret"]) == 86 for mail in mails)
    assert len(mails[1]["data"]["code"]) == 5
    assert database.one("SELECT message_id FROM deliveries WHERE token = %s", ann) == mails[0]["message_id"]
    assert {event["program"] for event in events} == {"mailroom-collect", "mailroom-send"}
    assert "SES takes 500 recipients a second" in [event["message"] for event in events]
