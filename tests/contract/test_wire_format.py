"""The collector writes and the sender reads the same bytes. Python's csv module checks both."""

import base64
import csv
import hmac
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_collector import Action, verify_token
from mailroom_collector.errors import UnfitToken
from mailroom_collector.sign.action import LARGEST_NUMBER, SHIPPED
from mailroom_collector.sign.line import OutputLine, SignedRow, encode_row, lines
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token
from mailroom_sender.input import action as sent
from mailroom_sender.input import row as read
from mailroom_sender.input.line import LONGEST_ROW, MOST_ROWS, decode_line, token_secret
from mailroom_sender.input.stdin import LONGEST_LINE
from tests.support.processes import KEY

KEY_BYTES = bytes.fromhex(KEY)
ACTIONS = {
    action.number: action
    for action in (
        Action.ACTIVATION,
        Action.PASSWORD_RECOVERY,
        Action("invitation", 3, "/invite", signs_code=False),
        Action("last", LARGEST_NUMBER, "/last", signs_code=True),
    )
}
SIGNER = Signer(KEY_BYTES, ACTIONS.values())
KNOWN = sent.by_number(
    sent.MailAction(str(one.number), one.name, f"{one.name}v1", needs_code=one.signs_code) for one in ACTIONS.values()
)
FIELD = "Qg84W2nmW8ClkDGZBdoC7UXM0BakAhmlBmR4emc4JJji0aMHLqfdM07rn1sHN8tvGk9go-hsKJMwvtqdGm5Cjw"

stored = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=254)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=254)
codes = st.from_regex(r"[0-9]{5}", fullmatch=True)


def tokens(text: st.SearchStrategy[str]) -> st.SearchStrategy[Token]:
    return st.builds(
        Token,
        id=st.integers(1, 2**63 - 1),
        action_number=st.sampled_from(sorted(ACTIONS)),
        email=text,
        login=text,
        secret=st.binary(min_size=32, max_size=32),
        code=codes,
    )


def test_independent_vector_verifies() -> None:
    """A field that another implementation signed is accepted, and its secret is returned."""
    secret = verify_token(FIELD, action=Action.ACTIVATION, key=KEY_BYTES)
    assert secret is not None
    assert len(secret) == 32
    assert verify_token(FIELD, action=Action.PASSWORD_RECOVERY, key=KEY_BYTES, code="00000") is None


def test_actions_that_come_with_mailroom_are_the_same_at_both_ends() -> None:
    """Without a database both programs know the first two actions: number, name, and whether the code is signed."""
    assert [(str(one.number), one.name, one.signs_code) for one in SHIPPED] == [
        (one.number, one.name, one.needs_code) for one in sent.SHIPPED
    ]


def test_plain_row_is_bytewise_as_promised() -> None:
    """For plain values the line is exactly action, email, login, secret and signature in base64url, and code."""
    token = Token(1, 1, "a@b.c", "ann", b"s" * 32, "01234")
    signature = hmac.digest(KEY_BYTES, b"/activate" + b"s" * 32, "sha256")
    field = base64.urlsafe_b64encode(b"s" * 32 + signature).rstrip(b"=")
    (line,) = lines([encode_row(SIGNER, token)], 10)
    assert line.data == b"1,a@b.c,ann," + field + b",01234\n"


@given(st.lists(tokens(printable), min_size=1, max_size=12), st.integers(1, 12))
def test_what_is_printed_is_read_back(batch: list[Token], limit: int) -> None:
    """Every row is read back with all its fields, signed, in order, in lines of at most the limit."""
    printed = list(lines([encode_row(SIGNER, token) for token in batch], limit))
    assert all(len(line.tokens) <= limit for line in printed)
    got = [row for line in printed for row in decode_line(line.data.removesuffix(b"\n"), KNOWN)]
    for token, row in zip(batch, got, strict=True):
        assert isinstance(row, read.Row)
        assert (row.action, row.email, row.login, row.code) == (
            KNOWN[str(token.action_number)], token.email, token.login, token.code
        )  # fmt: skip
        assert token_secret(row) == token.secret
        assert (
            verify_token(row.secret, action=ACTIONS[token.action_number], key=KEY_BYTES, code=row.code) == token.secret
        )


def test_longest_line_stays_below_the_limits_of_a_reader() -> None:
    """The largest number of rows with the longest fields stays far below the sender's limits for a line and a row."""
    longest = Token(1, 2, "\U0001f600" * 254, '"' * 254, b"s" * 32, "01234")
    rows = [encode_row(SIGNER, longest)] * MOST_ROWS
    printed = list(lines(rows, MOST_ROWS))
    assert sum(len(line.tokens) for line in printed) == MOST_ROWS
    assert LONGEST_LINE // 32 < max(len(line.data) for line in printed) <= LONGEST_LINE // 8
    assert len(rows[0].text.encode()) <= LONGEST_ROW


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [
        ([2**19, 2**19 - 2], [2]),  # with a comma and a newline
        ([2**19, 2**19 - 1], [1, 1]),
        ([2**20 + 1], [1]),
        ([2**19, 2**18, 2**18, 2**19], [2, 2]),
    ],
)
def test_line_has_a_mebibyte_at_most(lengths: list[int], cut: list[int]) -> None:
    """A line has at most a mebibyte, but at least one row."""
    rows = [SignedRow(number, "x" * length) for number, length in enumerate(lengths)]
    assert [len(line.tokens) for line in lines(rows, MOST_ROWS)] == cut


@given(st.lists(tokens(printable), min_size=1, max_size=5))
def test_csv_module_reads_the_same(batch: list[Token]) -> None:
    """Any CSV reader finds five fields in each row, with the values of the database."""
    (line,) = lines([encode_row(SIGNER, token) for token in batch], 5)
    (fields,) = csv.reader([line.data.decode()], strict=True)
    expected = [(token.email, token.login, token.code) for token in batch]
    assert [(fields[at + 1], fields[at + 2], fields[at + 4]) for at in range(0, len(fields), 5)] == expected


@given(tokens(stored))
def test_row_is_printed_whole_or_refused(token: Token) -> None:
    """Any value that the schema can store becomes one good row on one line, or is refused without its values."""
    has_control = any(unicodedata.category(letter) == "Cc" for letter in token.email + token.login)
    if has_control:
        with pytest.raises(UnfitToken, match=r"^its (email|login) holds a control character$"):
            encode_row(SIGNER, token)
        return
    row = encode_row(SIGNER, token)
    (line,) = lines([row], 1)
    assert isinstance(line, OutputLine)
    assert line.data.count(b"\n") == 1
    assert [type(one) for one in decode_line(line.data[:-1], KNOWN)] == [read.Row]


@pytest.mark.parametrize(
    ("email", "login", "code", "reason"),
    [
        ("", "ann", "01234", "its email is empty"),
        ("a@b.c", "", "01234", "its login is empty"),
        ("a\ud800@b.c", "ann", "01234", "its email is not UTF-8"),
        ("a@b.c", "a\x85n", "01234", "its login holds a control character"),
        ("a@b.c", "ann", "01\r34", "its code holds a control character"),
    ],
)
def test_refused_row_has_a_reason(email: str, login: str, code: str, reason: str) -> None:
    """The reason is the text that an operator reads in the ledger."""
    with pytest.raises(UnfitToken) as refusal:
        encode_row(SIGNER, Token(1, 1, email, login, b"s" * 32, code))
    assert str(refusal.value) == reason


def test_row_keeps_its_token_and_an_empty_code() -> None:
    """A quoted row belongs to the same token. A token without a code has an empty last field."""
    row = encode_row(SIGNER, Token(4711, 1, 'a"b@c.d', "x,y", b"s" * 32, None))
    assert row.token == 4711
    assert row.text.startswith('1,"a""b@c.d","x,y",')
    assert row.text.endswith(",")
    assert encode_row(SIGNER, Token(4712, 1, "a@b.c", "ann", b"s" * 32, None)).text.endswith(",")
