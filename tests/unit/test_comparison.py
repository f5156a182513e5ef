"""Local templates compared with those in SES."""

from dataclasses import replace

import pytest

from mailroom_sender.input.action import SHIPPED
from mailroom_sender.input.row import Row
from mailroom_sender.ses.request import Envelope, build
from mailroom_sender.texts.comparison import (
    SENT_BY,
    difference,
    different_parts,
    fault_and_remedy,
    newly_needed,
    state,
    unknown_names,
)
from mailroom_sender.texts.mime import Mail, compose, parse
from mailroom_sender.texts.sample import CODE, LOGIN, SECRET, Sample, data_for, samples
from mailroom_sender.texts.template import Template, from_ses

OURS = Template("t", "Subject", "Hello {{login}}\nBye", "<p>{{login}}</p>")


def test_line_ends_make_no_difference() -> None:
    """The kind of line break and trailing blanks are ignored."""
    theirs = Template("t", "Subject \n", "Hello {{login}} \r\nBye\r\n\r\n", "<p>{{login}}</p>\n")
    assert (different_parts(OURS, theirs), state(OURS, theirs), difference(OURS, theirs)) == ([], "same", [])


def test_different_parts_are_named() -> None:
    """A template that does not exist is missing."""
    theirs = replace(OURS, text="Hello", html="<p> {{login}}</p>")
    assert different_parts(OURS, theirs) == ["text", "html"]
    assert state(OURS, theirs) == "different: text, html"
    assert state(OURS, None) == "missing"


def test_difference_is_a_unified_diff_of_each_part() -> None:
    """It goes from SES's text to the local text, without line ends."""
    theirs = replace(OURS, subject="Other", text="Hello {{login}}\nSee you")
    assert difference(OURS, theirs) == [
        "--- SES/t.subject", "+++ here/t.subject", "@@ -1 +1 @@", "-Other", "+Subject",
        "--- SES/t.txt", "+++ here/t.txt", "@@ -1,2 +1,2 @@", " Hello {{login}}", "-See you", "+Bye",
    ]  # fmt: skip


def test_diff_against_nothing_has_all_parts() -> None:
    """Empty parts are left out."""
    assert difference(replace(OURS, html=""), None) == [
        "--- /dev/null", "+++ here/t.subject", "@@ -0,0 +1 @@", "+Subject",
        "--- /dev/null", "+++ here/t.txt", "@@ -0,0 +1,2 @@", "+Hello {{login}}", "+Bye",
    ]  # fmt: skip


def test_unsent_values_are_named_with_the_parts_that_need_them() -> None:
    """They are in order of appearance."""
    template = Template("t", "{{b}} {{a}}", "{{login}} {{b}}", "{{c}}")
    assert list(unknown_names(template, ["login"]).items()) == [
        ("a", ["subject"]),
        ("b", ["subject", "text"]),
        ("c", ["html"]),
    ]


def test_template_that_needs_more_values_names_what_senders_need() -> None:
    """Values that SES's template already uses in any part are left out."""
    ours = replace(OURS, text="{{login_text}} {{base_url}}")
    assert newly_needed(ours, OURS) == [SENT_BY["login_text"], SENT_BY["base_url"]]
    assert newly_needed(ours, replace(OURS, html="{{login_text}}")) == [SENT_BY["base_url"]]
    assert newly_needed(OURS, ours) == []


@pytest.mark.parametrize(
    ("name", "parts", "expected"),
    [
        ("x", ["html"], ("its html uses {{x}}, which is not sent", "use only login, secret")),
        ("x", ["text", "html"], ("its text and html use {{x}}, which is not sent", "use only login, secret")),
        (
            "base_url",
            ["text"],
            ("its text uses {{base_url}}, which is not sent", "set MAILROOM_LINK_BASE_URL, here and for the sender"),
        ),
    ],
)
def test_complaint_says_what_to_do(name: str, parts: list[str], expected: tuple[str, str]) -> None:
    """If a setting provides the value, the template is not at fault."""
    assert fault_and_remedy(name, parts, ["login", "secret"]) == expected


ENVELOPE = Envelope("a@b.example", "tracking", escape_html=True, base_url="https://b.example")


def test_samples_equal_the_mails_of_the_sender() -> None:
    """The data is that of the real call."""
    known = samples(ENVELOPE, "ann@b.example")
    html, base = "Tom &amp; Jerry", "https://b.example"
    activation = {"login": html, "secret": SECRET, "login_text": LOGIN, "base_url": base}
    recovery = {"login": html, "secret": SECRET, "code": CODE, "login_text": LOGIN, "base_url": base}
    assert [sample.template for sample in known] == ["activationv1", "passwordrecoveryv1"]
    assert [sample.data for sample in known] == [activation, recovery]
    assert [sample.secrets for sample in known] == [{"secret": SECRET}, {"secret": SECRET, "code": CODE}]
    rows = [Row(action, "ann@b.example", LOGIN, SECRET, CODE, b"") for action in SHIPPED]
    assert [sample.request for sample in known] == [build([row], ENVELOPE) for row in rows]
    assert samples(ENVELOPE)[0].request["Destinations"][0]["Destination"] == {"ToAddresses": ["ann@example.com"]}


def test_template_of_no_action_may_use_the_common_values() -> None:
    """A template of an action has the data of its mails."""
    known = [Sample("one", {"a": "1"}, {}), Sample("two", {"b": "2"}, {})]
    assert data_for("one", known) == {"a": "1"}
    assert data_for("two", known) == {"b": "2"}
    assert data_for("three", known) == {"a": "1", "b": "2"}


def test_template_is_the_same_after_a_round_trip() -> None:
    """An absent part is not sent, and comes back empty."""
    template = Template("t", "s", "", "<p>")
    assert template.to_ses() == {"TemplateName": "t", "SubjectPart": "s", "HtmlPart": "<p>"}
    assert from_ses({"Template": template.to_ses()}) == template
    assert from_ses({"Template": {"TemplateName": "t", "TextPart": None}}) == Template("t", "", "", "")
    assert from_ses({}) == Template("", "", "", "")


@pytest.mark.parametrize(
    ("mail", "kind"),
    [
        (Mail("s", "täxt\n", None), "text/plain"),
        (Mail("s", "text\n", None), "text/plain"),
        (Mail("s", None, "<p>\n"), "text/html"),
        (Mail("s", "text\n", "<p>\n"), "multipart/alternative"),
        (Mail("s", None, "<p>ü</p>\n"), "text/html"),
        (Mail("s", "täxt\n", "<p>ü</p>\n"), "multipart/alternative"),
    ],
)
def test_message_has_the_parts_of_the_mail(mail: Mail, kind: str) -> None:
    """The message is ASCII, quoted-printable, with CRLF."""
    message = compose(mail, "Mailroom <noreply@example.com>", "ann@example.com")
    head = message.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")
    assert head[:3] == ["From: Mailroom <noreply@example.com>", "To: ann@example.com", "Subject: s"]
    assert [line for line in head if line.startswith(f"Content-Type: {kind}")]
    encodings = [line for line in message.split(b"\r\n") if line.startswith(b"Content-Transfer-Encoding: ")]
    parts = sum(part is not None for part in (mail.text, mail.html))
    assert encodings == [b"Content-Transfer-Encoding: quoted-printable"] * parts
    assert parse(message.decode("ascii").replace("\r\n", "\n")) == mail


def test_message_without_a_subject_has_an_empty_one() -> None:
    """A reader would see it like this."""
    assert parse("Content-Type: text/plain\n\nx") == Mail("", "x", None)
