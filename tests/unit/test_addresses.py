"""Addresses as SES takes them, with the idna package as the referee for host names."""

import idna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailroom_sender.addresses import UnfitAddress, for_ses


@pytest.mark.parametrize(
    ("email", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.O'Neil+x@Example.COM", "Ann.O'Neil+x@example.com"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@ΛΌΓΟΣ.example", "ann@xn--oxapnq6b.example"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_address_is_made_ascii(email: str, address: str) -> None:
    """The local part stays as it is, the domain becomes the host name that it stands for."""
    assert for_ses(email) == address


@pytest.mark.parametrize(
    "email",
    [
        "", "ann", "@example.com", "ann@", "ann@.com", "ann@example..com", "ann@example.com.", "ann@-x.com",
        "jörg@example.com", "a b@example.com", "a,b@example.com", "<ann@example.com>", "Ann <ann@example.com>",
        '"ann"@example.com', "ann@example.com,ben@example.com", "ann@b.c@example.com", "ann@exa mple.com",
        "ann@example.com\r\nBcc: x@y.z", "ann@\uff45xample.com", "ann@ex\u200dample.com", "ann@☃.example",
        "ann@\u0301x.example", "ann@" + "a" * 64 + ".com", "ann@" + "abc." * 63 + "abcd", "a" * 65 + "@example.com",
    ],
)  # fmt: skip
def test_address_that_ses_would_misread_is_refused(email: str) -> None:
    """One recipient, plain ASCII before the @, a host name behind it: nothing else goes into a call."""
    with pytest.raises(UnfitAddress) as refused:
        for_ses(email)
    assert len(email) < 3 or email not in str(refused.value)


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("a@ex.com, b@ex.com", "its email has more than one @; one account has one address"),
        ("a b@ex.com", "its email's part before the @ holds a space or a line break"),
        ("a,b@ex.com", "its email's part before the @ holds a comma"),
        ("a;b@ex.com", "its email's part before the @ holds a semicolon"),
        ("jörg@ex.com", "its email's part before the @ is not plain ASCII, which SES needs"),
        ("@ex.com", "its email has nothing before the @"),
        ("a" * 65 + "@ex.com", "its email's part before the @ is longer than 64 characters"),
        ('"a"@ex.com', "its email's part before the @ holds a character that would have to be quoted"),
        ("a@ex.com, b", "its email's domain holds a space or a line break"),
        ("a@ex.com,b", "its email's domain holds a comma"),
        ("a@ex_.com", "its email's domain is not a host name"),
        ("a", "its email has no @"),
    ],
)
def test_reason_is_the_true_one(email: str, reason: str) -> None:
    """Whoever reads it knows what to correct."""
    with pytest.raises(UnfitAddress) as refused:
        for_ses(email)
    assert str(refused.value) == reason


@given(st.text(st.characters(categories=["Ll", "Lo", "Nd"], include_characters="-ß"), min_size=1, max_size=20))
def test_host_name_is_that_of_idna_or_refused(label: str) -> None:
    """Where both take a name, it is the same host: a mail never goes to another domain than was meant."""
    try:
        address = for_ses(f"ann@{label}.example")
    except UnfitAddress:
        return
    try:
        expected = idna.encode(label).decode()
    except idna.IDNAError:
        assume(False)
    assert address == f"ann@{expected}.example"
