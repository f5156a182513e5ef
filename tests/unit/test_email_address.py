"""Addresses in the form that SES accepts. The idna package checks the host names."""

import unicodedata

import idna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from idna import idnadata
from idna.core import valid_contextj
from idna.intranges import intranges_contain

from mailroom_sender.address.email_address import UnfitAddress, for_ses
from mailroom_sender.address.label_context import CONTEXTS, _letters


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
        ("a.b.c@example.com", "a.b.c@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("ann@" + "a" * 63 + ".com", "ann@" + "a" * 63 + ".com"),
        ("ann@a-b.c--d.r3---sn.1.example", "ann@a-b.c--d.r3---sn.1.example"),
        ("ann@bü-cher.example", "ann@xn--b-cher-3ya.example"),
        ("a@" + "b." * 125 + "cc", "a@" + "b." * 125 + "cc"),
        ("ann@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", "ann@xn--mgba3gch31f060k.example"),
        ("ann@ශ්\u200dරී.example", "ann@xn--10cl1a0b660p.example"),
        ("ann@col·lecció.example", "ann@xn--collecci-ioa91d.example"),
        ("ann@ゴールド・カード.example", "ann@xn--lckr7db1otdee.example"),
    ],
)
def test_address_is_made_ascii(email: str, address: str) -> None:
    """The local part is unchanged. The domain becomes its host name."""
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
    """A call has only one recipient with plain ASCII before the @ and a host name after it."""
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
        (".a@ex.com", "its email's part before the @ begins with a dot"),
        ("a.@ex.com", "its email's part before the @ ends with a dot"),
        ("a..b@ex.com", "its email's part before the @ has two dots in a row"),
        (".@ex.com", "its email's part before the @ begins with a dot"),
        ('"a..b"@ex.com', "its email's part before the @ holds a character that would have to be quoted"),
        ("a@", "its email has nothing behind the @"),
        ("a@.com", "its email's domain begins with a dot"),
        ("a@ex.com.", "its email's domain ends with a dot"),
        ("a@ex..com", "its email's domain has two dots in a row"),
        ("a@-x.com", "its email's domain has a part that begins or ends with a hyphen"),
        ("a@x-.com", "its email's domain has a part that begins or ends with a hyphen"),
        ("a@-ü.com", "its email's domain has a part that begins or ends with a hyphen"),
        ("a@ü-.com", "its email's domain has a part that begins or ends with a hyphen"),
        ("a@xn--.com", "its email's domain has a part that begins or ends with a hyphen"),
        ("a@ab--ü.com", "its email's domain is not a host name"),
        ("a@" + "x" * 64 + ".com", "its email's domain has a part that is longer than 63 characters"),
        ("a@" + "ü" * 60 + ".com", "its email's domain has a part that is longer than 63 characters"),
        ("a@" + "x." * 126 + "xx", "its email's domain is longer than 253 characters"),
        ("a@" + "x." * 126 + "x", "its email is longer than 254 characters"),
        ("a" * 100_000 + '"@ex.com', "its email's part before the @ holds a character that would have to be quoted"),
        ("a@" + "ü\u200c・" * 100_000, "its email's domain has a part that is longer than 63 characters"),
        ("a@ex\u200cample.com", "its email's domain holds a character that no domain name has in that place"),
        ("a", "its email has no @"),
    ],
)
def test_reason_names_the_fault(email: str, reason: str) -> None:
    """A reader knows what to correct."""
    with pytest.raises(UnfitAddress) as refused:
        for_ses(email)
    assert str(refused.value) == reason


PVALID = idnadata.codepoint_classes["PVALID"]
JOINING = [chr(n) for t in "CDLR" for r in idnadata.joining_types[t] for n in range(r >> 32, r & 0xFFFFFFFF)
           if intranges_contain(n, PVALID) and unicodedata.category(chr(n)) != "Cn"]  # fmt: skip


@pytest.mark.parametrize("context", ["{}\u200cب", "ب\u200c{}", "{}\u064e\u200cب", "ب\u200c\u064e\U0001e94b{}"])
def test_non_joiner_is_accepted_between_joining_letters(context: str) -> None:
    """It is accepted beside each letter that joins, exactly as idna does (RFC 5892, appendix A.1)."""
    for name in map(context.format, JOINING):
        at = name.index("\u200c")
        assert CONTEXTS["\u200c"](name, at) == valid_contextj(name, at), ascii(name)


def test_ranges_of_letters_have_both_ends() -> None:
    """They are hexadecimal. One code point is a range too."""
    assert _letters("4A-4C 6D") == frozenset("JKLm")


def of_ours(label: str) -> str | None:
    try:
        return for_ses(f"a@{label}.example").removeprefix("a@").removesuffix(".example")
    except UnfitAddress:
        return None


def of_idna(label: str) -> str | None:
    try:
        return idna.encode(unicodedata.normalize("NFC", label.lower())).decode()
    except idna.IDNAError:
        return None


@pytest.mark.parametrize(
    "labels",
    [
        "\u200cب ب\u200c ب\u064e\u200c\u064eب \u0627\u200cب ب\u200cא ب\u200c\u200cب ب\u200cب\u200cب a\u200cb \u200c",
        "\u200dक् क्\u200cष क\u200cष क्\u200dष क्\u200d क\u200dष \u200dक क\u094d\u093c\u200dष ب\u200dب \u200d",
        "l·l l· ·l · a·l l·a l·l·l L·L",
        "\u0375\u03b1 \u0375\u03b1\u03b2 \u0375a\u03b1 \u0375\u0080 \u03b1\u0375 \u0375a \u0375",
        "א\u05f3 א\u05f4 \u05f3א a\u05f4 \u05f4",
        "ア・ ・ a・b ・ー あ・い ・漢",
        "\u3007 \u06fd \u0f0b \u0640 \u07fa \u302e \u3031",
    ],
)
def test_contextual_character_is_accepted_only_in_its_place(labels: str) -> None:
    """Joiners, middle dots and the like are accepted where idna accepts them (RFC 5892, appendix A and 2.6)."""
    taken = {label: of_idna(label) for label in labels.split(" ")}
    assert {label: of_ours(label) for label in taken} == taken
    assert None in taken.values()
    assert any(taken.values())


@given(
    st.text(
        st.characters(categories=["Ll", "Lo", "Nd"], include_characters="-ß\u200c\u200d·・\u094d"),
        min_size=1,
        max_size=20,
    )
)
def test_host_name_equals_idnas_or_is_refused(label: str) -> None:
    """If both accept a name, the host is the same. So no mail goes to another domain."""
    try:
        address = for_ses(f"ann@{label}.example")
    except UnfitAddress:
        return
    try:
        expected = idna.encode(label).decode()
    except idna.IDNAError:
        assume(False)
    assert address == f"ann@{expected}.example"
