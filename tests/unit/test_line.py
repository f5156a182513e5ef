"""Lines are read strictly: good rows continue, bad rows get a reason, and no row disappears."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.input.action import SHIPPED, by_number
from mailroom_sender.input.line import LONGEST_ROW, MOST_ROWS, decode_line
from mailroom_sender.input.row import BadRow, Row, UnknownRow
from tests.support.lines import activation, field_of, recovery

GOOD = activation(1).encode()
FIELD = field_of(1)
KNOWN = by_number(SHIPPED)


def reasons(line: bytes) -> list[str]:
    return [row.reason if isinstance(row, BadRow) else "good" for row in decode_line(line, KNOWN)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"0,a@b.c,ann,{FIELD},", "its action is not a number from 1 on"),
        (f",a@b.c,ann,{FIELD},", "its action is not a number from 1 on"),
        (f"1,,ann,{FIELD},", "its email is empty"),
        (f"1,a@b.c,,{FIELD},", "its username is empty"),
        ("1,a@b.c,ann,,", "its secret is not 64 bytes in 86 characters of base64url"),
        (f"1,a@b.c,ann,{FIELD[:-1]},", "its secret is not 64 bytes in 86 characters of base64url"),
        (f"1,a@b.c,ann,{FIELD[:-1]}B,", "its secret is not 64 bytes in 86 characters of base64url"),
        (f"1,a@b.c,ann,{FIELD[:-1]}+,", "its secret is not 64 bytes in 86 characters of base64url"),
        (f"2,a@b.c,ann,{FIELD},", "its code is not five digits, which password_recovery needs"),
        (f"2,a@b.c,ann,{FIELD},1234", "its code is not five digits, which password_recovery needs"),
        (f"1,a@b.c,a\x1bnn,{FIELD},", "the row holds a control character"),
        (f"1,a@b.c,a\x85nn,{FIELD},", "the row holds a control character"),
        (f"1,a@b.c,ann,{FIELD},01234\r", "the row holds a control character"),
    ],
)
def test_bad_row_is_named_and_its_neighbours_are_good(row: str, reason: str) -> None:
    """One bad row in the middle of a line does not change the rows beside it."""
    assert reasons(GOOD + b"," + row.encode() + b"," + GOOD) == ["good", reason, "good"]
    assert list(decode_line(row.encode(), KNOWN)) == [BadRow(row.encode(), reason)]


def test_row_that_is_not_utf8_is_named() -> None:
    """Bytes that are not text harm only their own row."""
    bad = b"1,a@b.c,\xff," + FIELD.encode() + b","
    assert reasons(GOOD + b"," + bad) == ["good", "the row is not UTF-8"]
    assert list(decode_line(bad, KNOWN)) == [BadRow(bad, "the row is not UTF-8")]


def test_row_of_an_unknown_action_is_kept_unchanged() -> None:
    """Its number is kept. The sender may learn the action later."""
    raw = f"17,a@b.c,ann,{FIELD},".encode()
    assert list(decode_line(raw, KNOWN)) == [UnknownRow("17", raw)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "the line has 1 field, which is not a multiple of 5"),
        (b"1,2,3,4,5,6", "the line has 6 fields, which is not a multiple of 5"),
        (b'a"b,,,,', "the line is not CSV: a quote is out of place"),
        (b'"a"b,,,,', "the line is not CSV: a quote is out of place"),
        (b'"a,,,,', "the line is not CSV: a quote is out of place"),
    ],
)
def test_line_that_cannot_be_split_into_rows_is_bad_as_a_whole(line: bytes, reason: str) -> None:
    """The beginnings of its rows are not guessed."""
    assert list(decode_line(line, KNOWN)) == [BadRow(line, reason)]


def test_quoted_fields_are_read() -> None:
    """Another program may add needless quotes. Commas and quotes are restored."""
    line = f'"1","a@b.c","com,ma ""q""",{FIELD},""'.encode()
    (row,) = decode_line(line, KNOWN)
    assert isinstance(row, Row)
    assert (row.email, row.login, row.code, row.raw) == ("a@b.c", 'com,ma "q"', "", line)


def test_repr_of_a_row_shows_no_secret() -> None:
    """A row in a traceback shows neither secret nor code."""
    (row,) = decode_line(recovery(7, code="98765").encode(), KNOWN)
    assert "98765" not in repr(row)
    assert field_of(7, "98765") not in repr(row)


@given(st.binary(max_size=300) | st.lists(st.sampled_from([GOOD, b",", b'"', b"x", b""])).map(b"".join))
def test_arbitrary_bytes_are_never_dropped(line: bytes) -> None:
    """The pieces that are read or rejected always add up to the line."""
    assert b",".join(row.raw for row in decode_line(line, KNOWN)) == line


@pytest.mark.parametrize("row", [GOOD, f'1,a@b.c,"a,b",{FIELD},'.encode()])
def test_line_has_a_limit_of_rows(row: bytes) -> None:
    """The largest batch limit is read. One row more is not."""
    assert reasons(b",".join([row] * MOST_ROWS)) == ["good"] * MOST_ROWS
    line = b",".join([row] * (MOST_ROWS + 1))
    assert list(decode_line(line, KNOWN)) == [BadRow(line, "the line has more than 10,000 rows")]


@pytest.mark.parametrize("quote", ["", '"'])
def test_row_has_a_limit_of_bytes(quote: str) -> None:
    """The longest allowed row is read. One byte more is rejected, and the rows beside it are read."""
    room = LONGEST_ROW - len(f"1,a@b.c,{quote}{quote},{FIELD},")
    line = ",".join(f"1,a@b.c,{quote}{'x' * length}{quote},{FIELD}," for length in (room, room + 1, 1))
    assert reasons(line.encode()) == ["good", "the row is longer than 4,096 bytes", "good"]
    long = f"1,a@b.c,{quote}{'x' * (room + 1)}{quote},{FIELD},".encode()
    assert list(decode_line(long, KNOWN)) == [BadRow(long, "the row is longer than 4,096 bytes")]


@pytest.mark.parametrize(
    "line",
    [b"," * (1 << 20), b'"' + b"a" * (1 << 20) + b'"', b'""' * (1 << 19), b'"",' * (1 << 18), b",,,," * (1 << 18)],
    ids=["commas", "field", "quotes", "empty", "rows"],
)
def test_bad_line_needs_little_more_memory_than_its_bytes(line: bytes) -> None:
    """A mebibyte of junk becomes neither a hundred mebibytes nor a thousand rows."""
    tracemalloc.start()
    try:
        (bad,) = decode_line(line, KNOWN)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(bad, BadRow)
    assert peak < len(line)
