"""Which part of a mail SES's text blames when it refuses."""

import pytest

from mailroom_sender.address.identity import address_of, identities_of
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.faults import NamedFault, named, speaks_of_account, speaks_of_daily_quota
from mailroom_sender.ses.request import Envelope

ENVELOPE = Envelope("Mailroom, Inc. <NoReply@mail.Example.com>", "tracking", escape_html=True)
LIST = "Email address is not verified. The following identities failed the check in region US-EAST-1: "
ANN, BEN, STAFF = 0, 1, 2


def row(email: str, login: str = "ann") -> Row:
    return Row(MailAction.ACTIVATION, email, login, "s", "01234", b"")


ROWS = [row("Ann@Brand2.example"), row("ben@bücher.example"), row("staff@example.com")]


def rows(*places: int) -> NamedFault:
    return NamedFault(frozenset(places))


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("identity/brand2.example", rows(ANN)),
        ("identity/BRAND2.example", rows(ANN)),
        ("identity/ann@brand2.example", rows(ANN)),
        ("identity/Ann%40brand2.example", rows(ANN)),
        ("identity/xn--bcher-kva.example", rows(BEN)),
        ("identity/mail.example.com", NamedFault(source=True)),
        ("identity/noreply@mail.example.com", NamedFault(source=True)),
        ("identity/example.com", NamedFault(frozenset({STAFF}), source=True)),
        ("identity/brand2.example.org", NamedFault()),
        ("identity/d2.example", NamedFault()),
        ("identity/*", NamedFault()),
        ("configuration-set/tracking", NamedFault(config_set=True)),
        ("configuration-set/brand2.example", NamedFault()),
        ("template/activationv1", NamedFault(template=True)),
        ("template/passwordrecoveryv1", NamedFault()),
    ],
)
@pytest.mark.parametrize("form", ["on resource: {}", "on resource `{}' because", "on resource: {}.", '("{}"),'])
def test_denial_names_its_resource(resource: str, expected: NamedFault, form: str) -> None:
    """It is a domain, a domain above or an address, in any case and spelling, within any text."""
    words = form.format(f"arn:aws:ses:us-east-1:111122223333:{resource}")
    assert named("AccessDenied", words, ROWS, ENVELOPE) == expected


def test_user_of_a_denial_is_not_named() -> None:
    """A role's session name often looks like an address."""
    user = "User: arn:aws:sts::111122223333:assumed-role/x/noreply@mail.example.com is not authorized to perform: x"
    assert named("AccessDenied", user, ROWS, ENVELOPE) == NamedFault()
    assert named("AccessDenied", "User noreply@mail.example.com may not do x", ROWS, ENVELOPE) == NamedFault()
    assert named("Odd", "User noreply@mail.example.com may not do x", ROWS, ENVELOPE) == NamedFault(source=True)


def test_other_partitions_have_other_arns() -> None:
    """These are China and GovCloud."""
    words = "resource: arn:aws-us-gov:ses:us-gov-west-1:1:identity/brand2.example"
    assert named("AccessDenied", words, ROWS, ENVELOPE) == rows(ANN)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (LIST + "ann@brand2.example", rows(ANN)),
        (LIST + "ann@brand2.example, ben@xn--bcher-kva.example", rows(ANN, BEN)),
        (LIST + "brand2.example", rows(ANN)),
        (LIST + "brand2.example,xn--bcher-kva.example", rows(ANN, BEN)),
        (LIST + "arn:aws:ses:us-east-1:1:identity/brand2.example", rows(ANN)),
        (LIST + "Mailroom, Inc. <noreply@mail.example.com>, noreply@mail.example.com", NamedFault(source=True)),
        (LIST + '"Mailroom, Inc." <noreply@mail.example.com>', NamedFault(source=True)),
        (LIST + "ann@brand2.example, noreply@mail.example.com", NamedFault(frozenset({ANN}), source=True)),
        ("Email address not verified Mailroom, Inc. <NoReply@mail.Example.com>", NamedFault(source=True)),
        ("Illegal address: 'ann@brand2.example'.", rows(ANN)),
        ("Invalid domain brand2.example", NamedFault()),
        (LIST + "joann@brand2.example", NamedFault()),
        ("no", NamedFault()),
    ],
)
def test_rejection_names_addresses(words: str, expected: NamedFault) -> None:
    """Addresses count anywhere. Domains count where SES lists the identities that failed its check."""
    assert named("MessageRejected", words, ROWS, ENVELOPE) == expected


@pytest.mark.parametrize(
    "words",
    [
        "Sending paused for this account. For more information, please check the inbox of the email address",
        "Sending suspended for this account.",
        "Email sending is disabled for your AWS account",
        "Your account is under review",
        "The account has been shut down",
        "Request production access",
        "The account's status does not allow this",
    ],
)
def test_text_about_the_account(words: str) -> None:
    """Any code may have it."""
    assert speaks_of_account(words, ROWS)


@pytest.mark.parametrize(
    ("words", "login"),
    [
        ("Address is on the suppression list for your account", "ann"),
        ("Illegal address: your.account.is.paused@brand2.example", "ann"),
        ("Bad data: {'login': 'this account is suspended'}", "this account is suspended"),
        ("Bad data: {'login': '&lt;b&gt; this account is suspended'}", "<b> this account is suspended"),
        ("Accounting is not verified", "ann"),
        ("no", "ann"),
    ],
)
def test_text_that_is_not_about_the_account(words: str, login: str) -> None:
    """Text that users chose can't hold all mails."""
    assert not speaks_of_account(words, [row("ann@brand2.example", login)])


@pytest.mark.parametrize(
    ("words", "is_quota"),
    [
        ("Daily message quota exceeded.", True),
        ("Daily sending quota exceeded", True),
        ("DAILY SENDING QUOTA EXCEEDED", True),
        ("Sending quota per day exceeded", True),
        ("Maximum sending rate exceeded.", False),
        ("Daily mail", False),
    ],
)
def test_text_about_the_daily_quota(words: str, is_quota: bool) -> None:
    """All of AWS's texts are recognized, in any case."""
    assert speaks_of_daily_quota(words, ROWS) is is_quota


def test_login_can_hold_no_mail() -> None:
    """It can neither contain the From's address nor the quota's text."""
    evil = [row("ann@brand2.example", "NoReply@mail.example.com"), row("ben@b.example", "daily quota")]
    assert named("MessageRejected", "Bad data NoReply@mail.example.com", evil, ENVELOPE) == NamedFault()
    assert not speaks_of_daily_quota("Bad data daily quota", evil)
    own = [row("ann@brand2.example", "ann@brand2.example")]
    assert named("MessageRejected", "Bad data ann@brand2.example", own, ENVELOPE) == rows(0)


@pytest.mark.parametrize(
    ("address", "identities"),
    [
        ("A@Mail.Example.COM", ["A@Mail.Example.COM", "mail.example.com", "example.com"]),
        ("a@example.com", ["a@example.com", "example.com"]),
        ("a@localhost", ["a@localhost", "localhost"]),
        ("a@b@c.example.com", ["a@b@c.example.com", "c.example.com", "example.com"]),
    ],
)
def test_identities_that_stand_for_an_address(address: str, identities: list[str]) -> None:
    """They are the address, its domain and the domains above, but no top-level domain."""
    assert identities_of(address) == identities


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("a@b.example", "a@b.example"),
        ("Ann <a@b.example>", "a@b.example"),
        ("Ann, Inc. <a@b.example> ", "a@b.example"),
        ('"a@x.example" <a@b.example>', "a@b.example"),
    ],
)
def test_address_of_a_from(source: str, address: str) -> None:
    """One with an unquoted comma works too."""
    assert address_of(source) == address
