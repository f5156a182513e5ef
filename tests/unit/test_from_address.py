"""A From as people write it, converted to a From that SES accepts."""

import re
from email import policy
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader
from email.utils import parseaddr
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.address.from_address import UnfitSource, domain_of, encode_source, is_public
from mailroom_sender.address.identity import address_of
from mailroom_sender.check import judgement
from mailroom_sender.check.finding import Status


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("noreply@localhost", "noreply@localhost"),
        (" noreply@Example.COM ", "noreply@example.com"),
        ("<noreply@example.com>", "noreply@example.com"),
        ('"" <noreply@example.com>', "noreply@example.com"),
        ("Mailroom <noreply@example.com>", "Mailroom <noreply@example.com>"),
        ("Tom & Co <noreply@example.com>", "Tom & Co <noreply@example.com>"),
        ("Acme, Inc. <noreply@example.com>", '"Acme, Inc." <noreply@example.com>'),
        ('"Acme, Inc." <noreply@example.com>', '"Acme, Inc." <noreply@example.com>'),
        ("Acme (UK)<noreply@example.com>", '"Acme (UK)" <noreply@example.com>'),
        ("Acme: Support; <noreply@example.com>", '"Acme: Support;" <noreply@example.com>'),
        ('The "Best" Shop <noreply@example.com>', "The Best Shop <noreply@example.com>"),
        (r'"The \"Best\" @ <Shop>" <noreply@example.com>', r'"The \"Best\" @ <Shop>" <noreply@example.com>'),
        (r"Back\slash <noreply@example.com>", r'"Back\\slash" <noreply@example.com>'),
        ("Café <noreply@bücher.example>", "=?utf-8?b?Q2Fmw6k=?= <noreply@xn--bcher-kva.example>"),
        ('"Café, Bar" <a@b.example>', "=?utf-8?q?Caf=C3=A9=2C_Bar?= <a@b.example>"),
        ("=?utf-8?q?Caf=C3=A9?= <a@b.example>", "=?utf-8?b?Q2Fmw6k=?= <a@b.example>"),
        ("=?iso-8859-1?q?Caf=E9?= <a@b.example>", "=?utf-8?b?Q2Fmw6k=?= <a@b.example>"),
    ],
)
def test_from_is_encoded(text: str, encoded: str) -> None:
    """A name that needs quotes is quoted, one that is not ASCII is encoded, and the rest stays unchanged."""
    assert encode_source(text) == encoded
    assert encode_source(encoded) == encoded


NAME = "its name holds < or > or @, or half a quote; put double quotes around all of the name"
BEHIND = "something stands behind the address, or its > is missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Acme", "its email has no @"),
        ("Acme <>", "its email has no @"),
        ("a@b.example, c@d.example", "its email has more than one @; one account has one address"),
        ("a@b.example, Inc. <c@d.example>", NAME),
        ("Ann <a@b.example>, Bob <c@d.example>", NAME),
        ('Ann "half <a@b.example>', NAME),
        ("Ann <a@b.example> (at home)", BEHIND),
        ("Ann <a@b.example", BEHIND),
        ("a@b.example (Ann)", "its email's domain holds a space or a line break"),
        ("jörg@example.com", "its email's part before the @ is not plain ASCII, which SES needs"),
        ("Ann <a@b_c.example>", "its email's domain is not a host name"),
        ("Ann\n <a@b.example>", "it holds a control character or a line break"),
        ("Ann\r\nBcc: x@y.z <a@b.example>", "it holds a control character or a line break"),
        ("=?utf-8?q?=0ABcc:_x?= <a@b.example>", "its name holds an encoded control character"),
        ("=?unicode_escape?q?=5Cud800?= <a@b.example>", "its name holds an encoded control character"),
        ("=?utf-8?b?x?= <a@b.example>", "its name holds an encoded word (=?...?=) that can't be read"),
        ("=?no-such?q?x?= <a@b.example>", "its name holds an encoded word (=?...?=) that can't be read"),
        ("\udcff <a@b.example>", "it is not UTF-8"),
        ("ü" * 400 + " <a@b.example>", "it is longer than 992 characters once it is encoded"),
    ],
)
def test_invalid_from_is_refused(text: str, reason: str) -> None:
    """The reason says what is wrong, and nothing is guessed."""
    with pytest.raises(UnfitSource, match=f"^{re.escape(reason)}$"):
        encode_source(text)


def test_longest_from_is_accepted() -> None:
    """It ends at the last character that fits in a header's line."""
    address = " <a@b.example>"
    assert len(encode_source("x" * (992 - len(address)) + address)) == 992
    with pytest.raises(UnfitSource):
        encode_source("x" * (993 - len(address)) + address)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60).filter(lambda name: "=?" not in name))
def test_standard_library_reads_the_same_name_and_one_address(name: str) -> None:
    """Another reader of RFC 5322 finds any quoted name, and exactly one address."""
    quoted = '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    encoded = encode_source(f"{quoted} <noreply@example.com>")
    assert encoded.isascii()
    said, address = parseaddr(encoded)
    assert (str(make_header(decode_header(said))), address) == (" ".join(name.split()), "noreply@example.com")
    assert len(cast(AddressHeader, policy.default.header_factory("From", encoded)).addresses) == 1
    assert all(len(word) <= 75 for word in encoded.split() if word.startswith("=?"))
    assert address_of(encoded) == "noreply@example.com"


def test_domain_without_a_dot_is_unusable_for_ses() -> None:
    """The default is for debug mode and for local SES servers."""
    assert not is_public("noreply@localhost")
    assert is_public("Ann <noreply@example.com>")
    assert judgement.source("Ann <noreply@example.com>", None) == []
    for endpoint, status in ((None, Status.TASK), ("http://127.0.0.1:8005", Status.WARNING)):
        (finding,) = judgement.source("noreply@localhost", endpoint)
        assert (finding.check, finding.status) == ("From", status)
        assert "SES refuses every mail from localhost" in finding.found
    assert domain_of("Ann <a@Mail.B.example>") == "mail.b.example"
