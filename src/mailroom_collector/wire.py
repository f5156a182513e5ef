"""Pure: signed tokens to lines of bytes.

A row is five CSV fields, action, email, login, secret and code; a line is one row or more,
joined by commas. A field with a comma or a double quote is quoted (RFC 4180, 2.6 and 2.7).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailroom_collector.errors import UnfitToken
from mailroom_collector.signing import sign
from mailroom_collector.tokens import Action, Token

_ACTION_FIELD = {Action.ACTIVATION: "1", Action.PASSWORD_RECOVERY: "2"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # a byte that is not UTF-8 (database._AnyBytes)


@dataclass(frozen=True, slots=True)
class Row:
    """A token as it will be printed, whole and without the comma or newline behind it."""

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One batch: its bytes, newline included, and the ids of the tokens in it."""

    data: bytes
    tokens: tuple[int, ...]


def _field(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise UnfitToken(f"its {name} holds a control character")
    if _SURROGATE.search(value):
        raise UnfitToken(f"its {name} is not UTF-8")
    if "," in value or '"' in value:
        return '"' + value.replace('"', '""') + '"'
    return value


def _not_empty(name: str, value: str) -> str:
    """Any reader refuses a row without these, and nobody would settle it."""
    if not value:
        raise UnfitToken(f"its {name} is empty")
    return value


def encode_row(key: bytes, token: Token) -> Row:
    """Sign a token and write its row. Raises UnfitToken with the reason why that can't be done."""
    fields = (
        _ACTION_FIELD[token.action],
        _field("email", _not_empty("email", token.email)),
        _field("login", _not_empty("login", token.login)),
        sign(key, token.action, token.secret, token.code),
        _field("code", token.code or ""),
    )
    return Row(token.id, ",".join(fields))


def lines(rows: Sequence[Row], limit: int) -> Iterator[Line]:
    """Cut rows into lines of at most `limit` rows, in order."""
    for start in range(0, len(rows), limit):
        batch = rows[start : start + limit]
        data = ",".join(row.text for row in batch) + "\n"
        yield Line(data.encode(), tuple(row.token for row in batch))
