"""The two mails in templates/."""

import base64
import json
import quopri
import re
from html.parser import HTMLParser

import pytest

from mailroom_sender.input.action import SHIPPED as ACTIONS
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.request import Envelope, build
from mailroom_sender.texts.files import SHIPPED, read
from mailroom_sender.texts.handlebars import names, render
from mailroom_sender.texts.mime import Mail, compose, parse
from mailroom_sender.texts.sample import Sample, samples
from mailroom_sender.texts.template import Template

BASE = "https://app.example.com"
ENVELOPE = Envelope("Mailroom <noreply@example.com>", "tracking", escape_html=True, base_url=BASE)
KNOWN = samples(ENVELOPE)
SHIPPED_TEMPLATES = {template.name: template for template in read(SHIPPED)}
each_mail = pytest.mark.parametrize("sample", KNOWN, ids=lambda sample: sample.template)
PATHS = {"activationv1": "activate", "passwordrecoveryv1": "recover"}
_VOID = {"meta", "br", "img", "hr", "link", "input"}


def of(sample: Sample) -> Template:
    return SHIPPED_TEMPLATES[sample.template]


class Page(HTMLParser):
    """The tags of a page, and whether each is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_each_mail_has_its_template() -> None:
    """The sender's names and the shipped files are the same."""
    assert sorted(SHIPPED_TEMPLATES) == sorted(sample.template for sample in KNOWN)


@each_mail
def test_both_parts_have_the_purpose_of_the_mail(sample: Sample) -> None:
    """Text and HTML have the link, the code and its lifetime. They need only values that are sent."""
    link = f"{BASE}/{PATHS[sample.template]}/{sample.data['secret']}"
    for part in (of(sample).text, of(sample).html):
        done = render(part, sample.data)
        assert link in done
        assert sample.data.get("code", "") in done
        assert "15 minutes" in done
    assert f">{link}</a>" in render(of(sample).html, sample.data)
    assert f"\n{link}\n" in render(of(sample).text, sample.data)
    assert names(of(sample).subject) == set()  # neither a code on a locked screen, nor text that a user chose


@each_mail
def test_html_loads_nothing(sample: Sample) -> None:
    """It has no image, style sheet or script. Its only address is the link, without tracking."""
    html = of(sample).html
    page = Page(html)
    assert page.open == []
    assert not {"img", "script", "link", "iframe", "form"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|\ssrc=|background=", html)
    anchors = [attributes for tag, attributes in page.tags if tag == "a"]
    assert {a["href"] for a in anchors} == {f"{{{{base_url}}}}/{PATHS[sample.template]}/{{{{secret}}}}"}
    assert all("ses:no-track" in a for a in anchors)


@each_mail
def test_html_is_fit_for_screen_readers(sample: Sample) -> None:
    """It names its language, has only layout tables, a title and one heading."""
    tags = Page(of(sample).html).tags
    assert ("html", "en") in [(tag, attributes.get("lang")) for tag, attributes in tags]
    assert all(attributes.get("role") == "presentation" for tag, attributes in tags if tag == "table")
    assert [tag for tag, _ in tags].count("h1") == 1
    assert of(sample).subject in of(sample).html


@each_mail
def test_login_is_in_no_attribute(sample: Sample) -> None:
    """The sender escapes & < > in it, but no quotes."""
    assert not any("{{login}}" in (value or "") for _, attributes in Page(of(sample).html).tags
                   for value in attributes.values())  # fmt: skip


@pytest.mark.parametrize("login", ["Tom & Jerry", "moc.live\u202e", "x\u2069\u202e", "x\u2067", "x\u2029\u202e"])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_login_is_shown_unchanged_and_reverses_no_text(action: MailAction, login: str) -> None:
    """HTML escapes and isolates it. The text shows it unchanged, on its own line."""
    template = SHIPPED_TEMPLATES[action.template]
    (sample,) = samples(ENVELOPE, actions=[action])
    shown = build([Row(action, "ann@example.com", login, sample.data["secret"], "01234", b"")], ENVELOPE)
    data = json.loads(shown["Destinations"][0]["ReplacementTemplateData"])
    html, text = render(template.html, data), render(template.text, data)
    assert html.count(data["login"]) == html.count(f"<bdi>{data['login']}</bdi>")
    assert ("login" in names(template.html)) == ("login_text" in names(template.text))
    assert "login_text" not in names(template.html)
    assert "login" not in names(template.text)
    assert "&amp;" not in text
    assert text.count(data["login_text"]) == text.count(f"\n{data['login_text']}\n")


@pytest.mark.parametrize("name", sorted(SHIPPED_TEMPLATES))
def test_colours_have_enough_contrast(name: str) -> None:
    """Each text has a contrast of 4.5 to its background (WCAG 2.2, 1.4.3), light and dark."""
    html = SHIPPED_TEMPLATES[name].html
    style = html.partition("prefers-color-scheme: dark")[2].partition("</style>")[0]
    dark = {
        c: dict(re.findall(r"(background-color|color): (#\w{6})", rule))
        for c, rule in re.findall(r"\.(\w+) \{(.*?)\}", style)
    }
    light = {c: dict(re.findall(r"(?<![-\w])(background-color|color): (#\w{6})", rule))
             for c, rule in re.findall(r'class="(\w+)"[^>]*?style="([^"]*)"', html)}  # fmt: skip
    for scheme in (light, dark):
        card = str(scheme["card"]["background-color"])
        for kind in ("strong", "plain", "quiet", "link", "code"):
            if kind in scheme:
                ground = scheme[kind].get("background-color", card)
                assert contrast(str(scheme[kind]["color"]), str(ground)) >= 4.5, kind
    assert contrast("#ffffff", "#1a56c4") >= 4.5  # the button


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


BODY = "für 🙂 日本\n".encode()
ENCODED = {"8bit": BODY, "quoted-printable": quopri.encodestring(BODY), "base64": base64.encodebytes(BODY)}


@pytest.mark.parametrize("encoding", ENCODED)
def test_message_of_ses_is_read_in_any_encoding(encoding: str) -> None:
    """SES does not document how it encodes a rendered mail."""
    head = f"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: {encoding}\n\n"
    message = f"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\n{head}" + ENCODED[encoding].decode()
    assert parse(message) == Mail("Grüße", BODY.decode(), None)


@each_mail
def test_message_is_the_same_after_a_round_trip(sample: Sample) -> None:
    """The .eml has both parts, in lines that mail allows."""
    mail = Mail("Grüße", of(sample).text, of(sample).html)
    message = compose(mail, "Mailroom <noreply@example.com>", "ann@example.com")
    assert max(map(len, message.splitlines())) <= 998  # RFC 5322, 2.1.1
    assert parse(message.decode("ascii").replace("\r\n", "\n")) == mail
