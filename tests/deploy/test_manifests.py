"""The container files in deploy/: their settings exist, their version is current, and their local SES works."""

import contextlib
import json
import re
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
import psycopg
import pytest
from botocore.exceptions import ClientError

from mailroom_collector.cli import cli as collect
from mailroom_sender.cli import cli as sender
from mailroom_sender.texts.mime import Mail, parse
from tests.conftest import Environment
from tests.support.lines import field_of
from tests.support.pages import blocks
from tests.support.postgres import Database, Server
from tests.support.processes import KEY, Finished, Running, environment, program_of, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

if TYPE_CHECKING:
    from types_boto3_ses.type_defs import TemplateTypeDef

ROOT = Path(__file__).parents[2]
FILES = [file for file in (ROOT / "deploy").rglob("*") if file.is_file()]


def settings(command: click.Command) -> set[str]:
    return {str(option.envvar) for option in command.params if isinstance(option, click.Option) and option.envvar}


@contextlib.contextmanager
def local_ses(*options: str) -> Iterator[tuple[Running, str]]:
    """Run the local SES; yield it and its URL."""
    command = f"exec {sys.executable} {ROOT}/demo/ses.py 0 {' '.join(options)}"
    with running(command, {"PATH": "/usr/bin:/bin"}) as ses:
        ses.says("Ctrl-C ends it.\n")
        (port,) = re.findall(r"http://[0-9.]+:([0-9]+)", ses.err)
        yield ses, f"http://127.0.0.1:{port}"


def test_only_existing_settings_are_set() -> None:
    """A misspelt variable would be ignored silently."""
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


def test_examples_set_the_base_url_and_the_config_set() -> None:
    """Without a base URL the shipped templates don't render, and SES drops the mails without an error."""
    for file in ("deploy/compose.yaml", "deploy/kubernetes.yaml", "docs/running.md"):
        text = (ROOT / file).read_text()
        assert re.search(r"MAILROOM_LINK_BASE_URL(: |=)\"?https://app\.example\.com", text), file
        assert re.search(r"MAILROOM_SES_CONFIG_SET(: |=)\"?app\b", text), file


def test_check_of_the_image_is_in_each_manifest() -> None:
    """An image in the OCI format has no health check, and Kubernetes ignores it."""
    (check,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    compose = (ROOT / "deploy" / "compose.yaml").read_text()
    assert f"test: {json.dumps(['CMD', *json.loads(check)])}" in compose
    assert f"command: {check}" in (ROOT / "deploy" / "kubernetes.yaml").read_text()


def test_compose_file_has_no_name() -> None:
    """docker-compose 1.29, the version of Debian 12, would refuse the file."""
    keys = re.findall(r"^([a-z-]+):", (ROOT / "deploy" / "compose.yaml").read_text(), re.MULTILINE)
    assert keys == ["x-mailroom", "services", "secrets", "volumes"]


def pipeline_of(manifest: str) -> str:
    """Return the shell command in which a manifest joins the two programs."""
    (folded,) = re.findall(r"- >-\n((?: +\S.*\n)+?)(?= +(?:#|envFrom))", (ROOT / "deploy" / manifest).read_text())
    return " ".join(folded.split())


@pytest.mark.parametrize("manifest", ["compose.yaml", "kubernetes.yaml"])
def test_each_program_has_its_own_role_and_the_sender_no_key(
    manifest: str, server: Server, endpoint: Endpoint, sender_env: Environment, tmp_path: Path
) -> None:
    """No role of the compose file is a superuser. The sender's environment has no signing key."""
    with app(server) as url:
        for role in ("owner", "collector", "sender"):
            (tmp_path / f"{role}-database-url").write_text(url(f"mailroom_{role}"))
        (tmp_path / "secret-key").write_text(KEY)
        migrated = run(
            f"MAILROOM_DATABASE_URL_FILE={tmp_path}/owner-database-url mailroom-collect migrate", env=environment()
        )
        assert migrated.status == 0, migrated.err
        with psycopg.connect(url("mailroom_owner"), autocommit=True) as owner:
            owner.execute((ROOT / "deploy" / "compose" / "grants.sql").read_bytes())
            command = re.sub(r"/run/secrets(/mailroom)?", str(tmp_path), pipeline_of(manifest))
            env = sender_env()
            if manifest == "kubernetes.yaml":
                del env["MAILROOM_SECRET_KEY"]
            with running(command, env) as pipeline:
                pipeline.says("acknowledging")
                sender = program_of("mailroom-send", pipeline.process.pid)
                assert b"MAILROOM_SECRET_KEY" not in Path(f"/proc/{sender}/environ").read_bytes()
                owner.execute("INSERT INTO accounts (email, login) VALUES ('ann@example.com', 'ann')")
                until(lambda: endpoint.mailed, f"the mail; {pipeline.err}")
                assert pipeline.stop() == 0
            roles = owner.execute("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname LIKE 'mailroom%'").fetchone()
    assert endpoint.addresses == ["ann@example.com"]
    assert roles == (False,)


@contextlib.contextmanager
def app(server: Server) -> Iterator[Callable[[str], str]]:
    """Create the database and the roles of the compose file's PostgreSQL. Yields a function from a role to its URL."""
    roles = (ROOT / "deploy" / "compose" / "roles.sql").read_text()
    with server.connect("postgres") as admin:
        try:
            admin.execute("CREATE DATABASE app")
            for statement in re.sub("--.*", "", roles).split(";")[:-1]:
                admin.execute(statement.encode())
            yield lambda role: f"host={server.folder} dbname=app user={role}"
        finally:
            admin.execute("DROP DATABASE IF EXISTS app WITH (FORCE)")
            for role in re.findall("CREATE ROLE ([a-z_]+)", roles):
                admin.execute(f"DROP ROLE IF EXISTS {role}".encode())


def test_urls_of_compose_name_its_roles() -> None:
    """The containers find one file for each role, with the role's password."""
    folder = ROOT / "deploy" / "compose"
    roles = re.findall("CREATE ROLE ([a-z_]+) LOGIN PASSWORD '([^']+)'", (folder / "roles.sql").read_text())
    urls = {f"postgresql://{role}:{password}@postgres/app\n" for role, password in roles}
    assert {file.read_text() for file in folder.glob("*-database-url")} == urls


def test_grants_of_compose_equal_those_of_the_page() -> None:
    """There is one list of what each program may do."""
    page = blocks(ROOT / "docs" / "roles.md", "sql")[0].text
    wanted = [line for line in page.splitlines() if line and not line.startswith("CREATE ROLE")]
    assert (ROOT / "deploy" / "compose" / "grants.sql").read_text().splitlines()[1:] == wanted


@pytest.mark.first
def test_local_ses_is_enough_to_try_the_commands(sender_env: Environment, tmp_path: Path) -> None:
    """The steps of going-live.md without AWS: push, check with sample mails, preview by SES. Then all is ready."""
    settings = {
        "AWS_ENDPOINT_URL_SES": "",
        "AWS_REGION": "eu-west-1",
        "MAILROOM_LINK_BASE_URL": "https://app.example.com",
    }
    with local_ses() as (ses, url):
        env = sender_env(**settings, AWS_ENDPOINT_URL=url)

        def send(arguments: str) -> Finished:
            return run(f"mailroom-send {arguments}", env=env, cwd=tmp_path)

        before = send("check")
        assert (before.status, "no such template" in before.out) == (1, True)
        assert send("templates push").out.splitlines() == ["activationv1: created", "passwordrecoveryv1: created"]
        after = send("check --mail-to ann@example.com")
        assert (after.status, after.out.splitlines()[-1]) == (0, "ready, with 1 warning"), after.out  # no database
        assert ses.out.count("Subject: ") == 2
        assert ses.out.count("https://app.example.com/") >= 2
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
    """Errors have SES's codes, templates are listed, and an unknown action is an error."""
    with local_ses() as (_, url):
        ses = boto3.client(
            "ses", region_name="eu-west-1", endpoint_url=url, aws_access_key_id="a",
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
    """A sign-up through the processes of the compose file is printed as a mail, with the secret of its link."""
    with local_ses("--json") as (ses, url):
        env = pipeline_env(AWS_ENDPOINT_URL_SES=url, MAILROOM_LOG_FORMAT="json")
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
    assert "SES allows 500 recipients a second" in [event["message"] for event in events]


def test_local_ses_prints_what_readers_would_see(sender_env: Environment, tmp_path: Path) -> None:
    """It prints the rendered mail with its link. Without a template it prints the data and how to add the template."""
    line = f"1,ann@example.com,a\u202enn,{field_of(1)},\n".encode()
    with local_ses() as (ses, url):
        env = sender_env(AWS_ENDPOINT_URL_SES=url, MAILROOM_LINK_BASE_URL="https://app.example.com")
        assert run("mailroom-send", env=env, stdin=line, cwd=tmp_path).status == 0
        assert (
            "To: ann@example.com\n(not rendered: Template activationv1 does not exist. 'mailroom-send temp" in ses.out
        )
        assert f"login: a\\u202enn\nsecret: {field_of(1)}\n" in ses.out
        assert run("mailroom-send templates push", env=env, cwd=tmp_path).status == 0
        assert run("mailroom-send", env=env, stdin=line, cwd=tmp_path).status == 0
        second = ses.out.partition("--- local-00000002")[2]
        assert "\nSubject: " in second
        assert f"\nhttps://app.example.com/activate/{field_of(1)}\n" in second
        lost = run("mailroom-send", env=env | {"MAILROOM_LINK_BASE_URL": ""}, stdin=line, cwd=tmp_path)
        assert lost.status == 0
        assert "Attribute 'base_url' is not present in the rendering data. SES would take this mail and" in ses.out


@pytest.mark.parametrize(("options", "is_let_in"), [((), False), (("--host", "0.0.0.0"), True)])
def test_local_ses_accepts_other_machines_only_when_allowed(options: tuple[str, ...], is_let_in: bool) -> None:
    """It prints live links. 127.0.0.2 is another address of this machine, like that of its network."""
    with local_ses(*options) as (_, url), socket.socket() as client:
        assert (client.connect_ex(("127.0.0.2", int(url.rpartition(":")[2]))) == 0) is is_let_in


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("{port}", "port {port} of 127.0.0.1 is taken; give another port, such as: python3 demo/ses.py"),
        ("http", "argument PORT: 'http' is not allowed; give a number from 0 to 65535"),
        ("0 --host no.such.invalid", "can't listen on port 0 of no.such.invalid: "),
    ],
)
def test_local_ses_explains_why_it_cannot_listen(arguments: str, says: str) -> None:
    """It prints one line, exits with 2 and shows no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(
            f"{sys.executable} {ROOT}/demo/ses.py {arguments.format(port=port)}", env={"PATH": "/usr/bin:/bin"}
        )
    assert result.status == 2
    assert says.format(port=port) in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
