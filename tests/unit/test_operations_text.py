"""Text of the operator's commands."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_collector.errors import UnfitToken
from mailroom_collector.operations.figures import (
    Choice,
    History,
    ListenResult,
    Oldest,
    Overview,
    QueueProgress,
    RetryResult,
    Sessions,
    Settled,
    Unmatched,
    UnsentDelivery,
    Unsettled,
)
from mailroom_collector.operations.terminal.page import fitting
from mailroom_collector.operations.text.delivery_list import text as listed
from mailroom_collector.operations.text.delivery_list import unmatched, verdicts
from mailroom_collector.operations.text.durations import (
    format_duration,
    format_ms,
    iso,
    parse_duration,
    parse_moment,
    stamp,
)
from mailroom_collector.operations.text.health import health
from mailroom_collector.operations.text.sparkline import sparkline
from mailroom_collector.operations.text.status_line import Kind, Rank, StatusLine
from mailroom_collector.operations.text.status_text import status_text
from mailroom_collector.operations.text.table import cut, table, width, wrapped
from mailroom_collector.schedule.pause import Pause
from mailroom_collector.sign.line import encode_row
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token
from mailroom_runtime.words import visible
from mailroom_sender.address.email_address import UnfitAddress, for_ses

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2_592_000), ("1d12h", 129_600), ("1w", 604_800)],
)
def test_duration_is_read(written: str, seconds: int) -> None:
    """It is a number and a unit, or several of them."""
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["", "90", "s", "1.5h", "-1d", "1 d", "1y", "٣d", "999999999w", "2026-01-31"])
def test_invalid_duration_is_refused(written: str) -> None:
    """It has no unit, other characters, or is too large."""
    with pytest.raises(ValueError, match=f"^{re.escape(written)}$"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_moment_is_read(written: str, moment: datetime) -> None:
    """It is a duration ago or a time, which is UTC by default."""
    assert parse_moment(written, NOW) == moment


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (60.06, "1 min"),
        (895, "14 min 55 s"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_duration_is_written_in_its_two_largest_units(seconds: float, words: str) -> None:
    """That is precise enough and short."""
    assert format_duration(seconds) == words


def test_milliseconds_are_written_in_a_fitting_unit() -> None:
    """The units go from tenths of a millisecond to minutes."""
    said = [format_ms(ms) for ms in (0.84, 12.3, 999, 1500, 130_000)]
    assert said == ["0.8 ms", "12 ms", "999 ms", "1.5 s", "2 min 10 s"]
    assert format_ms(3_600_000) == "1 h"


def test_sparkline_has_a_bar_for_each_value() -> None:
    """The largest value has the tallest bar, and zero has none.

    If there is no room for all, the last ones are shown.
    """
    assert sparkline([0, 1, 4, 8], 10) == " ▂▅█"
    assert sparkline([9, 0, 0, 0], 3) == "   "
    assert sparkline([0, 8], 10, unicode=False) == " @"
    assert sparkline([], 10) == sparkline([1], 0) == ""


@given(st.text(), st.integers(0, 40))
def test_cut_text_fits(words: str, columns: int) -> None:
    """Wide characters count double. Text that fits is unchanged."""
    taken = cut(visible(words), columns)
    assert width(taken) <= columns
    assert width(visible(words)) > columns or taken == visible(words)


@given(st.text())
def test_shown_text_cannot_control_a_terminal(words: str) -> None:
    """No control character, line break or change of direction remains."""
    assert all(c.isprintable() for c in visible(words))


def test_table_is_aligned_also_with_wide_characters() -> None:
    """Each column is as wide as its widest cell."""
    assert table([["a", "1", "x"], ["日本", "10", "y"]], "<><") == ["a      1  x", "日本  10  y"]


def unsettled(state: str, *, due: bool, count: int = 1, holder: str | None = None, seconds: float = 0.0) -> Unsettled:
    moment = NOW - timedelta(seconds=seconds)
    return Unsettled(state, holder, due, count, moment, moment)


def progress(*rows: Unsettled, oldest_age: float | None = None) -> QueueProgress:
    oldest = None
    if oldest_age is not None:
        queued = NOW - timedelta(seconds=oldest_age)
        oldest = Oldest(4711, queued, queued + timedelta(seconds=900))
    return QueueProgress(NOW, None, False, rows, oldest)


@pytest.mark.parametrize(
    ("seen", "well", "words"),
    [
        (progress(), True, "no mailable token waits"),
        (
            replace(progress(), paused_at=NOW, paused_reason="why"),
            False,
            "the queue is paused since 2026-01-31 23:59:59 UTC: why",
        ),
        (progress(oldest_age=59), True, "the oldest mailable token has waited for 59 s"),
        (
            progress(oldest_age=61),
            False,
            "token 4711 has waited for 1 min 1 s, longer than 1 min; it expires in 13 min 59 s",
        ),
        # In backoff, in the pipe or in a call: not due, but not mailed either.
        (
            progress(unsettled("claimed", due=False, holder="collect:a:1:x"), oldest_age=300),
            False,
            "token 4711 has waited",
        ),
        # All have expired by now and are still there.
        (
            progress(unsettled("pending", due=True, seconds=7200)),
            False,
            "due deliveries have waited for 2 h, longer than 1 min",
        ),
        (progress(unsettled("pending", due=True, seconds=3)), True, "no mailable token waits"),
    ],
)
def test_check_reports_mail_that_does_not_flow(seen: QueueProgress, well: bool, words: str) -> None:
    """A token waits too long in any state, or no collector claims deliveries."""
    result = health(seen, 60)
    assert result.well is well
    assert result.words.startswith(words)


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_report_fits(columns: int) -> None:
    """No line is wider than the terminal, whatever the length of reasons and names."""
    seen = progress(
        unsettled("claimed", due=False, count=8000, holder=f"collect:{'host' * 16}:4711:0123456789abcdef", seconds=-20),
        unsettled("sending", due=True, holder="send:web1:17:0123456789abcdef", seconds=5),
        oldest_age=4,
    )
    settled = [Settled("failed", f"reason {'x' * 3 * n}", 1, 2, 1_234_567, 1, NOW) for n in range(12)]
    history = History([*settled, Settled("sent", None, 1, 2, 3, 0, NOW)], 12.5, 1500.0)
    lines = status_text(Overview("mailroom", seen, history, ListenResult(False), Sessions(1, 2), range(200)), columns)
    assert all(width(line.text) <= columns for line in lines)
    assert "4 other reasons" in "\n".join(line.text for line in lines)
    bad = [line.text.split()[0] for line in lines if line.kind is Kind.BAD and line.text[2] != " "]
    assert bad == ["lease", "may", "notifications"]


def overview(seen: QueueProgress, sessions: Sessions, reasons: int = 0) -> Overview:
    """Return the state of a queue with some history."""
    settled = [Settled("failed", f"reason {n}", 1, 2, 1_234_567, 0, NOW) for n in range(reasons)]
    history = History([Settled("sent", None, 1, 2, 1_234_567, 0, NOW), *settled], 12.5, 1500.0)
    return Overview("mailroom", seen, history, ListenResult(True, 1.0), sessions, [1] * 59 + [7])


@pytest.mark.parametrize("columns", [60, 80])
def test_figures_stay_beside_their_labels(columns: int) -> None:
    """No figure is cut at 60 columns, and each is in the line of its label."""
    lines = [line.text for line in status_text(overview(progress(oldest_age=4), Sessions(1, 1), 3), columns)]
    assert not [line for line in lines if "…" in line]
    assert len([line for line in lines if line.split()[-3:] == ["1", "2", "1,234,567"]]) == 4
    time = "minute" if columns == 80 else "58 s"
    assert f"mails a second, last {time}: at most 7, now (right) 7" in lines


@pytest.mark.parametrize(
    ("overdue", "sessions", "words"),
    [
        (0, Sessions(1, 2), "1 session connected; inserts notify"),
        (0, Sessions(0, 0), "no sessions connected; inserts notify"),
        (300, Sessions(2, 0), "2 sessions connected; inserts notify"),
        (300, Sessions(0, 0), "none is connected; due deliveries have waited for 5 min"),
    ],
)
def test_missing_collector_is_reported(overdue: float, sessions: Sessions, words: str) -> None:
    """It is an error once a row is due and not claimed."""
    rows = [unsettled("pending", due=True, seconds=overdue)] if overdue else []
    (line,) = [
        line for line in status_text(overview(progress(*rows), sessions), 80) if line.text.startswith("  collectors")
    ]
    assert line.text.endswith(f"  {words}")
    assert (line.kind is Kind.BAD) is words.startswith("none")


@pytest.mark.parametrize("rows", [0, 1, 10, 22, 28, 99])
def test_screen_keeps_the_important_lines(rows: int) -> None:
    """It has no more lines than fit. In 24 lines all figures are shown, and omitted lines are counted."""
    held = [
        unsettled("claimed", due=False, holder=f"collect:web{n}:{n}:0123456789abcdef", seconds=-20) for n in range(8)
    ]
    lines = status_text(overview(progress(*held, oldest_age=4), Sessions(1, 1), 8), 80)
    kept = fitting(lines, rows)
    assert len(kept) <= rows
    if rows >= len(lines):
        assert kept == lines
    if 22 <= rows < len(lines):
        needed = [line for line in lines if line.rank is Rank.NEEDED and line.text]
        assert [line for line in kept if line in needed] == needed
        lost = len([line for line in lines if line.text]) - (len(kept) - 1)
        assert kept[-1] == StatusLine(f"... {lost} more lines")


@given(st.text(), st.integers(2, 40))
def test_wrapped_text_is_complete(words: str, columns: int) -> None:
    """Each line fits, and only spaces are removed."""
    lines = wrapped(visible(words), columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == visible(words).replace(" ", "")


@pytest.mark.parametrize("columns", [40, 70, 80, 100, 1_000_000])
def test_failed_shows_the_whole_address(columns: int) -> None:
    """The tries are omitted first, then the action. A long address has its own lines."""
    long = f"{'a' * 60}@example.com"
    for email in ("ann@example.com", long):
        one = UnsentDelivery(154, "activation", 7, "ann", email, "failed", "why", 1, 0, NOW, NOW, None)
        lines = [line.text for line in listed([one], columns)]
        assert all(len(line) <= columns for line in lines)
        assert f"<{email}>" in "".join(line.removeprefix("    ") for line in lines)
        assert "failed" in lines[0]
    assert ("1 try" in lines[0]) is (columns > 130)


def test_bounds_between_units_are_exact() -> None:
    """Tenths are shown below ten, whole numbers from ten on, milliseconds below a second."""
    assert [format_duration(seconds) for seconds in (9.94, 10, 10.6)] == ["9.9 s", "10 s", "11 s"]
    assert [format_ms(ms) for ms in (9.94, 10, 10.6, 999.4, 1000)] == ["9.9 ms", "10 ms", "11 ms", "999 ms", "1.0 s"]


def test_longest_duration_is_a_hundred_years() -> None:
    """One second more is refused, with its own message."""
    assert parse_duration("36500d") == timedelta(days=36_500)
    with pytest.raises(ValueError, match=r"^36500d1s$"):
        parse_duration("36500d1s")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "NPT-05:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_times_are_written_in_utc() -> None:
    """For people they have seconds, for programs milliseconds. A missing time stays null."""
    pause = Pause("mailroom")
    assert "since 2026-01-31 23:59:59 UTC:" in str(pause.update(NOW, None))
    moment = datetime(2026, 2, 1, 1, 59, 59, 123_456, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(moment) == "2026-01-31 23:59:59"
    assert iso(moment) == "2026-01-31T23:59:59.123Z"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("text", "columns", "fits"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
    ],
)
def test_cut_text_keeps_as_much_as_fits(text: str, columns: int, fits: str) -> None:
    """It uses all columns, one of them for the ellipsis. A wide character is never halved."""
    assert cut(text, columns) == fits


def test_text_is_wrapped_between_words() -> None:
    """A line is filled to its last column. Only a word longer than a line is broken. Blanks are kept."""
    assert wrapped("aaa bb ccccccc d", 6) == ["aaa bb", "cccccc", "c d"]
    assert wrapped("a  b", 6) == ["a  b"]
    assert wrapped("", 6) == [""]


def test_unprintable_characters_are_escaped() -> None:
    """Printable ones of any script are unchanged."""
    assert visible("é日 \x1b\u202e\ud800") == r"é日 \x1b\u202e\ud800"


def test_width_counts_columns() -> None:
    """A combining mark takes no column, a wide or fullwidth character two."""
    assert [width(text) for text in ("a", "e\u0301", "日", "\uff21", "")] == [1, 1, 2, 2, 0]


def test_table_fits_its_lines() -> None:
    """A long line is cut, trailing blanks are omitted, and an empty table has no line."""
    assert table([["abc", "de"], ["a", ""]], "<<", most=6) == ["abc  …", "a"]
    assert table([[" a", "de"]], "<<") == [" a  de"]
    assert table([], "<<") == []


def test_sparkline_grows_in_steps() -> None:
    """The steps are eighths of the largest value, each with its own bar."""
    assert sparkline(range(1, 9), 8) == "▂▃▄▅▆▇██"
    assert sparkline([0.5, 8], 2) == "▁█"
    assert sparkline([1, 8], 1) == "█"
    assert sparkline([0, 0.5], 2) == " █"


def unfit_token(**fields: Any) -> str:
    """Return why the collector refuses to print a token."""
    token = Token(1, 2, "ann@example.com", "ann", bytes(32), "12345")._replace(**fields)
    with pytest.raises(UnfitToken) as refused:
        encode_row(Signer(bytes(32)), token)
    return str(refused.value)


def unfit_address(email: str) -> str:
    """Return why the sender refuses to send to an address."""
    with pytest.raises(UnfitAddress) as refused:
        for_ses(email)
    return str(refused.value)


EMAIL, LOGIN = (f"retry helps once the account's {column} is corrected" for column in ("email", "login"))
NO_HELP = "retry can't help; insert a new token"
CORRECTED = "retry helps once that is corrected"
HELPS = "retry would try it again"


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        (unfit_token(email=""), EMAIL),
        (unfit_token(login="a\0b"), LOGIN),
        (unfit_token(login="a\ud800"), LOGIN),
        (unfit_token(secret=b"short"), NO_HELP),
        (unfit_token(code="1234"), NO_HELP),
        (unfit_token(code="1234\n"), NO_HELP),
        *(
            (unfit_address(email), EMAIL)
            for email in (
                "ann",
                "@b.example",
                "a@",
                "a b@c.example",
                "j\xf6@b.example",
                "a@b..example",
                "a@b@c.example",
            )
        ),
        ("MessageRejected: Email address is not verified.", HELPS),
        ("TemplateDoesNotExist: Template activationv1 does not exist", HELPS),
        ("its action, invitation, is not in mailroom_actions any more", CORRECTED),
        ("InvalidParameterValue: Illegal address", CORRECTED),
        ("InvalidTemplateData: x", CORRECTED),
        ("words of another sender", HELPS),
        (None, HELPS),
    ],
)
def test_failed_says_whether_retry_can_help(reason: str | None, note: str) -> None:
    """A fault of the row itself is refused again while the row has it.

    A refusal of SES or a setting may be gone now.
    """
    one = UnsentDelivery(1, "activation", 7, "ann", "ann@example.com", "failed", reason, 1, 0, NOW, NOW, None)
    assert [line.text for line in listed([one], 200)][1] == f"    {reason or 'without a reason'} ({note})"
    expired = replace(one, stale="the token expired")
    assert [line.text for line in listed([expired], 200)][1].endswith(" (now the token expired)")


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1 token is not put back: the token expired"), (2, "2 tokens are not put back: the token expired")],
)
def test_many_tokens_that_are_not_put_back_are_counted(number: int, words: str) -> None:
    """One of them is written as one token."""
    reported = [RetryResult(n, "already sent") for n in range(30)] + [
        RetryResult(n, "the token expired") for n in range(number)
    ]
    said = list(verdicts(reported, dry_run=False))
    assert said[:3] == [f"put back 0 of {30 + number}", "30 tokens are not put back: already sent", words]


def test_many_tokens_that_match_nothing_are_counted() -> None:
    """They are not listed. A few reasons are named."""
    settled = [Settled("failed", f"Reason{n}", 0, 0, 100 - n, 0, NOW) for n in range(7)]
    there = Unmatched([RetryResult(n, "already sent") for n in range(21)], [], History(settled, None, None))
    assert list(unmatched(Choice(account="a\x1bb", reason="x"), there)) == [
        "21 tokens are not listed: already sent",
        "there is no account with the id, login or address 'a\\x1bb'",
        "no reason contains 'x'; the reasons of the last day: Reason0 (100), Reason1 (99), Reason2 (98),"
        " Reason3 (97), Reason4 (96), and 2 more",
    ]
