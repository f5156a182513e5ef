"""A login in a mail."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.ses.login import contained, for_html, for_text

CONTROLS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
FSI, PDI, RLI, RLO = "\u2068", "\u2069", "\u2067", "\u202e"


@pytest.mark.parametrize(
    ("login", "html", "text"),
    [
        ("ann", "ann", "ann"),
        ("Tom & Jerry", "Tom &amp; Jerry", "Tom & Jerry"),
        ("<b>", "&lt;b&gt;", "<b>"),
        ("björn", "björn", "björn"),
        ("דוד", "דוד", f"{FSI}דוד{PDI}"),
        ("moc.live" + RLO, "moc.live" + RLO, f"{FSI}moc.live{RLO}{PDI}"),
        (f"x{PDI}{RLO}", f"{FSI}x{PDI}{RLO}", f"{FSI}{FSI}x{PDI}{RLO}{PDI}"),
        (PDI, FSI + PDI, FSI + FSI + PDI + PDI),
        (f"x{RLI}", f"x{RLI}{PDI}", f"{FSI}x{RLI}{PDI}{PDI}"),
        (f"x\u2029{RLO}", f"x {RLO}", f"{FSI}x {RLO}{PDI}"),
        ("x\u2028y\u2029z", "x\u2028y\u2029z", "x y z"),
    ],
)
def test_login_is_shown_unchanged_and_in_place(login: str, html: str, text: str) -> None:
    """Markup is escaped for HTML only. Text that could reverse a line is isolated in plain text. HTML uses <bdi>."""
    assert (for_html(login), for_text(login)) == (html, text)


@given(st.text(st.sampled_from("a&ד\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), min_size=1))
def test_login_cannot_leave_its_isolate(login: str) -> None:
    """No isolate is closed before it is opened, and none is open at the end or at the end of a paragraph."""
    for shown in (contained(login), for_text(login)):
        depth = 0
        for character in shown:
            kind = unicodedata.bidirectional(character)
            depth += (kind in {"LRI", "RLI", "FSI"}) - (kind == "PDI")
            assert depth >= 0
        assert depth == 0
        assert "\u2029" not in shown or shown.translate(CONTROLS) == shown
    assert len(for_text(login).splitlines()) == 1
    assert for_text(login).strip(FSI + PDI) or not login.strip(FSI + PDI)
