"""What stands in deploy/ for containers: settings that exist, the version at hand, and a local SES that works."""

import json
import re
import socket
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
from botocore.exceptions import ClientError

from mailroom_collector.cli import cli as collect
from mailroom_sender.cli import cli as sender
from mailroom_sender.golive.mime import Mail, parse
from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import Finished, run, running
from tests.support.waiting import until

if TYPE_CHECKING:
    from types_boto3_ses.type_defs import TemplateTypeDef

ROOT = Path(__file__).parents[2]
FILES = [file for file in (ROOT / "deploy").rglob("*") if file.is_file()]


def settings(command: click.Command) -> set[str]:
    return {str(option.envvar) for option in command.params if isinstance(option, click.Option) and option.envvar}


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_only_settings_that_exist_are_set() -> None:
    """A misspelt variable would be passed over in silence."""
    known = settings(collect) | settings(sender) | {"MAILROOM_DATABASE_URL", "MAILROOM_SECRET_KEY"}
    for file in FILES:
        assert set(re.findall(r"\bMAILROOM_[A-Z_]+", file.read_text())) <= known, file


def test_images_are_of_this_version() -> None:
    """So that an upgrade changes them."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in ("compose.yaml", "kubernetes.yaml"):
        text = (ROOT / "deploy" / name).read_text()
        assert set(re.findall(r"image: \S*mailroom:(\S+)", text)) == {version}
    assert f"mailroom-migrate-{version.replace('.', '-')}\n" in (ROOT / "deploy" / "kubernetes.yaml").read_text()


def test_examples_say_where_links_lead_and_which_set() -> None:
    """Without a base URL the shipped templates don't render, and SES drops the mails in silence."""
    for file in ("deploy/compose.yaml", "deploy/kubernetes.yaml", "docs/running.md"):
        text = (ROOT / file).read_text()
        assert re.search(r"MAILROOM_LINK_BASE_URL(: |=)\"?https://app\.example\.com", text), file
        assert re.search(r"MAILROOM_SES_CONFIG_SET(: |=)\"?app\b", text), file


def test_local_ses_is_enough_to_try_the_commands(sender_env: Environment, tmp_path: Path) -> None:
    """The steps of going-live.md without AWS: push, check with sample mails, a preview by SES; then all is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_SES": "",
        "AWS_REGION": "eu-west-1",
        "MAILROOM_LINK_BASE_URL": "https://app.example.com",
    }
    env = sender_env(**settings)
    with running(f"exec {sys.executable} {ROOT}/demo/ses.py {port}", {"PATH": "/usr/bin:/bin"}) as ses:
        until(lambda: listens(port), "it listens")

        def send(arguments: str) -> Finished:
            return run(f"mailroom-send {arguments}", env=env, cwd=tmp_path)

        before = send("check")
        assert (before.status, "no such template" in before.out) == (1, True)
        assert send("templates push").out.splitlines() == ["activationv1: created", "passwordrecoveryv1: created"]
        after = send("check --mail-to ann@example.com")
        assert (after.status, after.out.splitlines()[-1]) == (0, "ready, with 1 warning"), after.out  # no database
        assert len(ses.out.splitlines()) == 2
        previewed = send("templates preview --ses")
        assert previewed.status == 0, previewed.err
        assert "https://app.example.com/recover/" in (tmp_path / "preview" / "passwordrecoveryv1.html").read_text()
        own = tmp_path / "own"
        own.mkdir()
        (own / "activationv1.subject").write_text("Grüß & <Gott>")
        (own / "activationv1.txt").write_text("{{name}} {{secret}}")
        refused = send("templates push --yes --folder own")
        assert (refused.status, "{{name}}, which is not sent" in refused.err) == (2, True)
        (own / "activationv1.txt").write_text("{{secret}}")
        assert send("templates push --yes --folder own").out == "activationv1: updated\n"
        assert send("templates list --folder own").out == "activationv1  same\n"


def test_local_ses_answers_as_boto3_expects() -> None:
    """Errors have SES's codes; templates are listed; what is not known is said so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(f"exec {sys.executable} {ROOT}/demo/ses.py {port}", {"PATH": "/usr/bin:/bin"}):
        until(lambda: listens(port), "it listens")
        ses = boto3.client(
            "ses", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="a",
            aws_secret_access_key="b",
        )  # fmt: skip
        template: TemplateTypeDef = {"TemplateName": "t", "SubjectPart": "<&>", "TextPart": "{{ name }} {{{name}}}"}
        codes = []
        for call in (
            lambda: ses.get_template(TemplateName="t"),
            lambda: ses.update_template(Template=template),
            lambda: ses.create_template(Template=template),
            lambda: ses.create_template(Template=template),
            lambda: ses.test_render_template(TemplateName="t", TemplateData="{}"),
            ses.list_identities,
        ):
            try:
                call()
                codes.append("")
            except ClientError as error:
                codes.append(error.response["Error"]["Code"])
        assert codes == [
            "TemplateDoesNotExist", "TemplateDoesNotExist", "", "AlreadyExists", "MissingRenderingAttribute",
            "InvalidAction",
        ]  # fmt: skip
        assert ses.get_template(TemplateName="t")["Template"] == template
        assert [one["Name"] for one in ses.list_templates()["TemplatesMetadata"]] == ["t"]
        mail = ses.test_render_template(TemplateName="t", TemplateData='{"name": "ü"}')["RenderedTemplate"]
        assert parse(mail) == Mail("<&>", "ü ü\n", None)
        ses.close()


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
