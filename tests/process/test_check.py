"""mailroom-send check and templates as processes, started by a person or a script."""

import fcntl
import json
import os
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from mailroom_sender.texts.files import SHIPPED
from tests.conftest import Environment
from tests.support.lines import recovery
from tests.support.processes import Finished, run
from tests.support.ptys import open_pty
from tests.support.ses_endpoint import Endpoint

BASE = "https://app.example.com"
NAMES = ["activationv1", "passwordrecoveryv1"]


@pytest.fixture
def env(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> Environment:
    endpoint.max_send_rate = "14.0"

    def env(**settings: str) -> dict[str, str]:
        defaults = {
            "MAILROOM_LINK_BASE_URL": BASE,
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": endpoint.url,
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
        }
        return sender_env(**(defaults | settings))

    return env


def on_terminal(command: str, env: dict[str, str], columns: int = 80, types: bytes = b"", *, cwd: Path) -> Finished:
    """Run a command on its own terminal, and type the given text there."""
    ours, theirs = open_pty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    shell = ["/bin/bash", "-c", command]
    process = subprocess.Popen(shell, env=env, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd)
    os.close(theirs)
    os.write(ours, types)
    out = b""
    try:
        while piece := os.read(ours, 4096):
            out += piece
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(ours)
    return Finished(process.wait(30), out.decode(), "")


def own_folder(tmp_path: Path, **changed: str) -> Path:
    """Return a folder with the shipped templates, in which some files have other content."""
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    for file in SHIPPED.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for name, text in changed.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_base_url_goes_with_every_mail(endpoint: Endpoint, env: Environment) -> None:
    """The running sender sends the values that the shipped templates need."""
    assert run("mailroom-send", env=env(), stdin=recovery(1).encode() + b"\n").status == 0
    (call,) = endpoint.calls
    assert json.loads(call.destinations[0][1])["base_url"] == BASE
    assert call.default_data == '{"login":"","secret":"","code":""}'


def test_from_nothing_to_ready(endpoint: Endpoint, env: Environment, tmp_path: Path) -> None:
    """check says what to do.

    After that is done, the exit status is 0 instead of 1. Without a terminal there is no colour.
    """
    before = run("mailroom-send check", env=env(), cwd=tmp_path)
    assert before.status == 1, before.err
    assert "mailroom-send templates push activationv1" in before.out
    assert run("mailroom-send templates push", env=env()).out.splitlines() == [f"{name}: created" for name in NAMES]
    after = run("mailroom-send check", env=env(), cwd=tmp_path)
    assert after.status == 0, after.out
    assert after.out.splitlines()[-1] == "ready, with 1 warning"  # no database
    assert "\x1b" not in before.out + after.out
    assert (before.err, after.err) == ("", "")
    assert list(tmp_path.glob("output/*")) == []
    assert not endpoint.calls


def test_json_is_for_programs(endpoint: Endpoint, env: Environment) -> None:
    """One object has the same findings, and the exit status is the same."""
    result = run("mailroom-send check --json", env=env())
    reported = json.loads(result.out)
    assert (result.status, reported["ready"]) == (1, False)
    (region,) = [one for one in reported["checks"] if one["check"] == "region"]
    found = f"eu-west-1, asked at {endpoint.url}"
    assert region == {"check": "region", "status": "ok", "found": found, "to_do": None, "permission": None}
    permissions = [one["permission"] for one in reported["checks"] if one["permission"]]
    assert "ses:GetTemplate" in permissions
    assert all(permission.startswith("ses:") for permission in permissions)


def test_terminal_gets_colours_and_lines_that_fit(env: Environment, tmp_path: Path) -> None:
    """The status is coloured, and no line is wider than the terminal. NO_COLOR turns only the colours off."""
    colours = on_terminal("mailroom-send check", env(TERM="xterm"), 72, cwd=tmp_path)
    plain = on_terminal("mailroom-send check", env(TERM="xterm", NO_COLOR="1"), 72, cwd=tmp_path)
    assert colours.status == plain.status == 1
    assert "\x1b[32m\x1b[1mok\x1b[0m" in colours.out
    assert max(map(len, plain.out.splitlines())) <= 72
    assert plain.out == re.sub(r"\x1b\[[0-9]+m", "", colours.out)


def test_templates_are_compared(endpoint: Endpoint, env: Environment, tmp_path: Path) -> None:
    """list shows missing, different and same. diff shows what push would change, and its exit status says so."""
    folder = own_folder(tmp_path)
    assert run("mailroom-send templates list", env=env()).out == (
        "activationv1        missing\npasswordrecoveryv1  missing\n"
    )
    assert run("mailroom-send templates push activationv1", env=env()).status == 0
    pushed = endpoint.account.templates[NAMES[0]]
    pushed["TextPart"] = pushed["TextPart"].replace("\n", "\r\n") + "\r\n"
    (folder / "activationv1.subject").write_text("Welcome\n")
    listed = run(f"mailroom-send templates list --folder {folder}", env=env()).out
    assert listed.splitlines() == ["activationv1        different: subject", "passwordrecoveryv1  missing"]
    assert run("mailroom-send templates diff activationv1", env=env()).status == 0
    diff = run(f"mailroom-send templates diff --folder {folder} activationv1", env=env())
    assert (diff.status, diff.out.splitlines()) == (
        1,
        [
            "--- SES/activationv1.subject",
            "+++ here/activationv1.subject",
            "@@ -1 +1 @@",
            "-Activate your account",
            "+Welcome",
        ],
    )


def test_different_template_is_not_overwritten_without_consent(
    endpoint: Endpoint, env: Environment, tmp_path: Path
) -> None:
    """A script must give --yes, a person is asked, and --dry-run only prints."""
    own = {"SubjectPart": "Mine", "TextPart": "{{secret}}", "HtmlPart": "{{secret}}"}
    endpoint.account.templates[NAMES[0]] = dict(own)
    refused = run("mailroom-send templates push", env=env())
    assert refused.status == 2
    assert "activationv1: update subject, text, html: not done; see 'mailroom-send templates diff'" in refused.err
    dry = run("mailroom-send templates push --dry-run --yes", env=env())
    assert dry.out.splitlines() == ["activationv1: update subject, text, html", "passwordrecoveryv1: create"]
    no = on_terminal("mailroom-send templates push", env(), types=b"n\n", cwd=tmp_path)
    assert "activationv1: update subject, text, html? [y/N]" in no.out
    assert no.status == 130
    assert endpoint.account.templates == {NAMES[0]: own}  # none of them changed anything
    yes = on_terminal("mailroom-send templates push", env(), types=b"y\n", cwd=tmp_path)
    assert yes.status == 0
    assert endpoint.account.templates[NAMES[0]]["SubjectPart"] == "Activate your account"
    endpoint.account.templates[NAMES[0]] = dict(own)
    assert run("mailroom-send templates push --yes activationv1", env=env()).out == "activationv1: updated\n"
    assert run("mailroom-send templates push", env=env()).out.splitlines() == [
        f"{name}: the same in SES" for name in NAMES
    ]


def test_push_names_the_senders_that_must_be_upgraded_first(endpoint: Endpoint, env: Environment) -> None:
    """SES would drop the mails of a sender that lacks a value which the new template uses."""
    assert run("mailroom-send templates push", env=env()).err == ""
    template = endpoint.account.templates[NAMES[1]]
    template["TextPart"] = template["TextPart"].replace("{{login_text}}", "{{login}}")
    dry, done, again = (run(f"mailroom-send templates push {how}", env=env()) for how in ("--dry-run", "--yes", ""))
    condition = "every running sender is of version 0.3 or newer, with MAILROOM_LINK_BASE_URL"
    assert dry.err == f"passwordrecoveryv1: push it only when {condition}, or SES drops mails without an error\n"
    assert done.err == dry.err
    assert (done.status, again.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ("push", {"MAILROOM_LINK_BASE_URL": ""}, "SES would drop every such mail; set MAILROOM_LINK_BASE_URL"),
        ("push --folder own", {}, "its text uses {{name}}, which is not sent, so SES would drop every such mail"),
        ("push --folder markup", {}, "its HTML uses {{login_text}}, in which & < > are not escaped; use {{login}}"),
        ("push nothing", {}, "holds no template nothing; it holds activationv1, passwordrecoveryv1"),
        ("push --folder nowhere", {}, "nowhere can't be read: No such file or directory"),
        ("push --folder empty", {}, "empty holds no template"),
        ("push --folder half", {}, "half/welcome.subject is not one line of text"),
        ("push --folder latin1", {}, "latin1/welcome.txt can't be read: it is not UTF-8"),
        ("preview --folder own", {}, "activationv1.txt, line 1: the sender sends no name"),
        ("preview --out /dev/null/x", {}, "/dev/null/x can't be written: Not a directory"),
        ("list", {"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials are found"),
        ("list", {"AWS_PROFILE": "nobody"}, "the AWS SDK can't be set up: The config profile (nobody)"),
        ("list", {"MAILROOM_LINK_BASE_URL": "http://app.example.com"}, "MAILROOM_LINK_BASE_URL / --link-base-url:"),
        ("preview --ses", {}, " refuses TestRenderTemplate (TemplateDoesNotExist"),
        ("lst", {}, "Did you mean 'list'? See 'mailroom-send templates --help'."),
        ("push --fodler x", {}, "See 'mailroom-send templates push --help'."),
    ],
)
def test_failure_is_one_line(
    endpoint: Endpoint, env: Environment, tmp_path: Path, arguments: str, settings: dict[str, str], message: str
) -> None:
    """It says what is wrong, where, and what to do. The exit status is 2, and SES is unchanged."""
    own_folder(tmp_path, activationv1_txt="{{name}} {{secret}}")
    for name in ("empty", "half", "latin1", "markup"):
        (tmp_path / name).mkdir()
    (tmp_path / "markup" / "welcome.subject").write_text("Welcome")
    (tmp_path / "markup" / "welcome.html").write_text("{{login_text}}")
    (tmp_path / "half" / "welcome.txt").write_text("x")
    (tmp_path / "latin1" / "welcome.txt").write_bytes(b"\xe9")
    result = run(f"mailroom-send templates {arguments}", env=env(**settings), cwd=tmp_path)
    assert result.status == 2
    assert message in result.err.splitlines()[-1]
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
    assert not endpoint.account.templates


def test_templates_without_a_command_lists_its_commands(env: Environment) -> None:
    """The help is printed and the exit status is 2, as click defines it."""
    alone, asked = (run(f"mailroom-send templates{option}", env=env()) for option in ("", " --help"))
    assert (alone.status, alone.out, alone.err) == (2, "", asked.out)
    assert "\n  push" in alone.err


@pytest.mark.parametrize("action", ["GetTemplate", "CreateTemplate"])
def test_missing_permission_is_named(endpoint: Endpoint, env: Environment, action: str) -> None:
    """push names the permission that it lacks."""
    endpoint.account.denied.add(action)
    result = run("mailroom-send templates push", env=env())
    assert (result.status, f"{action} is not permitted; allow ses:{action}" in result.err) == (2, True)


def test_preview_shows_the_mail(endpoint: Endpoint, env: Environment, tmp_path: Path) -> None:
    """It writes files for a browser, a person and a mail program: without AWS, or rendered by SES."""
    here = run("mailroom-send templates preview", env=env(AWS_ACCESS_KEY_ID=""), cwd=tmp_path)
    assert here.out.splitlines() == [f"preview/{name}{end}" for name in NAMES for end in (".txt", ".html", ".eml")]
    assert not endpoint.account.asked
    html = (tmp_path / "preview" / "passwordrecoveryv1.html").read_text()
    assert f'href="{BASE}/recover/' in html
    assert "{{" not in html
    assert "<bdi>Tom &amp; Jerry</bdi>" in html
    assert "\nTom & Jerry\n" in (tmp_path / "preview" / "passwordrecoveryv1.txt").read_text()
    assert run("mailroom-send templates push", env=env()).status == 0
    by_ses = run("mailroom-send templates preview --ses --out ses activationv1", env=env(), cwd=tmp_path)
    assert by_ses.status == 0, by_ses.err
    for end in (".txt", ".html"):
        ours, theirs = ((tmp_path / folder / f"activationv1{end}").read_text() for folder in ("preview", "ses"))
        assert ours.strip() == theirs.strip()


def test_preview_without_a_base_url_says_so(env: Environment, tmp_path: Path) -> None:
    """The preview needs no setting."""
    result = run("mailroom-send templates preview activationv1", env=env(MAILROOM_LINK_BASE_URL=""), cwd=tmp_path)
    assert result.status == 0
    assert result.err == "MAILROOM_LINK_BASE_URL is not set: the links show https://app.example.com\n"


def test_bad_address_for_samples_is_refused(endpoint: Endpoint, env: Environment) -> None:
    """It is refused before any question to SES."""
    result = run("mailroom-send check --mail-to nobody", env=env())
    assert (result.status, "--mail-to: its email has no @; give an address like" in result.err) == (2, True)
    assert not endpoint.account.asked
