"""Pure: signed tokens to lines of bytes.

A row is five CSV fields, action, email, login, secret and code; a line is one row or more,
joined by commas. A field with a comma or a double quote is quoted (RFC 4180, 2.6 and 2.7).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mailroom_collector.errors import UnfitToken
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token

_LONGEST_LINE: Final = 1 << 20  # bytes; readers have limits
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # a byte that is not UTF-8 (postgres/connection.py, _AnyBytes)
_NOT_BARE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff,\"]")
"""A field without these is written as it is. They are the two above, and the characters that must be quoted."""


class SignedRow(NamedTuple):
    """A token as it will be printed, without the comma or newline behind it."""

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One batch: its bytes, newline included, and the ids of the tokens in it."""

    data: bytes
    tokens: tuple[int, ...]
    rows: int


def _field(name: str, value: str) -> str:
    if not _NOT_BARE.search(value):
        return value
    if _CONTROL.search(value):
        raise UnfitToken(f"its {name} holds a control character")
    if _SURROGATE.search(value):
        raise UnfitToken(f"its {name} is not UTF-8")
    return '"' + value.replace('"', '""') + '"'


def _not_empty(name: str, value: str) -> str:
    """Check a field that must not be empty. Every sender rejects a row with an empty one, and does not settle it."""
    if not value:
        raise UnfitToken(f"its {name} is empty")
    return _field(name, value)


def encode_row(signer: Signer, token: Token) -> SignedRow:
    """Sign a token and encode its row. Raises UnknownAction, or UnfitToken with the reason."""
    token_id, action, email, login, secret, code = token
    code = code or ""
    # Almost every row is bare: one search in all fields that could be otherwise.
    if not email or not login or _NOT_BARE.search(email + login + code):
        email, login, code = _not_empty("email", email), _not_empty("login", login), _field("code", code)
    return SignedRow(token_id, f"{action},{email},{login},{signer.sign(action, secret, token.code)},{code}")


def lines(rows: Sequence[SignedRow], limit: int) -> Iterator[OutputLine]:
    """Cut rows into lines of at most `limit` rows, in order; into more lines where one would be longer than 1 MiB."""
    for start in range(0, len(rows), limit):
        yield from _lines(rows[start : start + limit])


def _lines(rows: Sequence[SignedRow]) -> Iterator[OutputLine]:
    tokens, texts = zip(*rows, strict=True)
    line = OutputLine((",".join(texts) + "\n").encode(), tokens, len(tokens))
    if len(line.data) <= _LONGEST_LINE or len(rows) == 1:
        yield line
        return
    middle = len(rows) // 2
    yield from _lines(rows[:middle])
    yield from _lines(rows[middle:])
