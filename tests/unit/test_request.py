"""From a batch to the exact API parameters."""

import json
from dataclasses import replace

import pytest

from mailroom_sender.input.action import KnownActions, MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows
from mailroom_sender.ses.request import Envelope, build

ENVELOPE = Envelope("Mailroom <noreply@example.com>", "tracking", escape_html=True)


def row(number: int, action: MailAction = MailAction.ACTIVATION, login: str = "ann") -> Row:
    return Row(action, f"u{number}@example.com", login, "s" * 86, "01234", b"raw")


def test_request_has_exactly_the_promised_parameters() -> None:
    """Template, default data and replacement data follow the contract, and a JSON encoder wrote them."""
    assert build([row(1, MailAction.PASSWORD_RECOVERY, 'a"b\\c')], ENVELOPE) == {
        "Source": "Mailroom <noreply@example.com>",
        "ConfigurationSetName": "tracking",
        "Template": "passwordrecoveryv1",
        "DefaultTemplateData": '{"login":"","secret":"","code":""}',
        "Destinations": [
            {
                "Destination": {"ToAddresses": ["u1@example.com"]},
                "ReplacementTemplateData": json.dumps(
                    {"login": 'a"b\\c', "secret": "s" * 86, "code": "01234"}, separators=(",", ":")
                ),
            }
        ],
    }


def test_base_url_is_in_the_data_of_each_destination() -> None:
    """The row has the base URL and the login for text, even if SES ignores defaults.

    Without the setting the request has exactly the contract's bytes.
    """
    rows = [row(1, login="Tom & Jerry"), row(2, login="Tom & Jerry")]
    plain = build(rows, ENVELOPE)
    request = build(rows, replace(ENVELOPE, base_url="https://app.example.com"))
    for destination, without in zip(request["Destinations"], plain["Destinations"], strict=True):
        data = json.loads(destination["ReplacementTemplateData"])
        assert data.pop("base_url") == "https://app.example.com"
        assert data.pop("login_text") == "Tom & Jerry"
        assert data["login"] == "Tom &amp; Jerry"
        assert data == json.loads(without["ReplacementTemplateData"])
    assert request | {"Destinations": plain["Destinations"]} == plain


@pytest.mark.parametrize(
    ("login", "escaped"),
    [
        ("<b>", "&lt;b&gt;"),
        ("&lt;", "&amp;lt;"),
        ("{{secret}}", "{{secret}}"),
        ("o'neil", "o'neil"),
        ("björn", "björn"),
    ],
)
def test_login_is_data_and_never_markup(login: str, escaped: str) -> None:
    """The template gets a login as text. An activation has no code."""
    (destination,) = build([row(1, login=login)], ENVELOPE)["Destinations"]
    assert json.loads(destination["ReplacementTemplateData"]) == {"login": escaped, "secret": "s" * 86}


def test_batches_have_one_action_oldest_first() -> None:
    """A call has up to 50 rows of one action, in order. A closed action is skipped."""
    waiting = WaitingRows()
    rows = [row(n, MailAction.PASSWORD_RECOVERY if n % 2 else MailAction.ACTIVATION) for n in range(120)]
    for one in rows:
        waiting.put(one, 0.0)
    for batch in (rows[0::2][:MOST_DESTINATIONS], rows[0::2][MOST_DESTINATIONS:]):
        assert waiting.first({"password_recovery"}) == "activation"
        assert waiting.take("activation", MOST_DESTINATIONS) == batch
    assert waiting.first({"password_recovery"}) is None
    assert (len(waiting), waiting.take_all(), len(waiting)) == (60, rows[1::2], 0)


def test_login_is_unchanged_where_templates_escape_it() -> None:
    """Only control characters that affect other text are changed."""
    plain = replace(ENVELOPE, escape_html=False)
    for login, sent in (("<b> & co", "<b> & co"), ("x\u2067", "x\u2067\u2069")):
        (destination,) = build([row(1, login=login)], plain)["Destinations"]
        assert json.loads(destination["ReplacementTemplateData"])["login"] == sent


def test_default_data_has_what_the_action_needs() -> None:
    """An activation has no code."""
    assert build([row(1)], ENVELOPE)["DefaultTemplateData"] == '{"login":"","secret":""}'


def test_actions_are_known_by_their_number() -> None:
    """The table of actions replaces earlier values."""
    known = KnownActions()
    assert dict(known.by_number) == {"1": MailAction.ACTIVATION, "2": MailAction.PASSWORD_RECOVERY}
    known.replace([("3", "invitation", "invitationv1", False)])
    assert dict(known.by_number) == {"3": MailAction("3", "invitation", "invitationv1", needs_code=False)}
