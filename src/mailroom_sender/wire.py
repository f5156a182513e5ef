"""Pure: a line to rows and bad rows.

Five CSV fields a row (RFC 4180), rows joined by commas. Read strictly: what does not fit is a
bad row with its reason, and its neighbours stay good, as long as the line can be cut in rows.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final

from mailroom_runtime.words import counted
from mailroom_sender.actions import Action
from mailroom_sender.rows import BadRow, Row, UnknownRow

_FIELDS: Final = 5
# A quoted field, with its quotes doubled inside; or a bare one, without any quote.
_FIELD = re.compile(rb'"((?:[^"]|"")*)"(?=,|$)|([^",]*)(?=,|$)', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# 64 bytes in unpadded base64url: the last character holds two bits, the others of it are 0 (RFC 4648, 3.5).
_SECRET = re.compile(r"[A-Za-z0-9_-]{85}[AQgw]", re.ASCII)
_CODE = re.compile(r"[0-9]{5}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


def decode_line(line: bytes, known: Mapping[str, Action]) -> Iterator[Row | UnknownRow | BadRow]:
    """Yield the rows of one line, given without its newline; `known` are the actions by number."""
    fields = _split(line) if b'"' in line else _split_bare(line)
    if fields is None:
        yield BadRow(line, "the line is not CSV: a quote is out of place")
    elif len(fields) % _FIELDS:
        yield BadRow(line, f"the line has {counted(len(fields), 'field')}, which is not a multiple of {_FIELDS}")
    else:
        for start in range(0, len(fields), _FIELDS):
            five = fields[start : start + _FIELDS]
            raw = line[five[0][1] : five[-1][2]]
            yield _row([value for value, _, _ in five], raw, known)


def _split(line: bytes) -> list[tuple[bytes, int, int]] | None:
    """Return each field's value, and where its bytes begin and end; None when it is not CSV."""
    fields: list[tuple[bytes, int, int]] = []
    place = 0
    while match := _FIELD.match(line, place):
        quoted, bare = match.groups()
        value = bare if quoted is None else quoted.replace(b'""', b'"')
        fields.append((value, match.start(), match.end()))
        if match.end() == len(line):
            return fields
        place = match.end() + 1
    return None


def _split_bare(line: bytes) -> list[tuple[bytes, int, int]]:
    """The same for a line without a quote, as almost all are."""
    fields: list[tuple[bytes, int, int]] = []
    place = 0
    for value in line.split(b","):
        fields.append((value, place, place := place + len(value)))
        place += 1
    return fields


def _row(values: list[bytes], raw: bytes, known: Mapping[str, Action]) -> Row | UnknownRow | BadRow:
    try:
        number, email, login, secret, code = [value.decode() for value in values]
    except UnicodeDecodeError:
        return BadRow(raw, "the row is not UTF-8")
    if _CONTROL.search(email + login + number + secret + code):
        return BadRow(raw, "the row holds a control character")
    action = known.get(number)
    if action is None:
        if _NUMBER.fullmatch(number):
            return UnknownRow(number, raw)
        return BadRow(raw, "its action is not a number from 1 on")
    if not email:
        return BadRow(raw, "its email is empty")
    if not login:
        return BadRow(raw, "its username is empty")
    if not _SECRET.fullmatch(secret):
        return BadRow(raw, "its secret is not 64 bytes in 86 characters of base64url")
    if action.needs_code and not _CODE.fullmatch(code):
        return BadRow(raw, f"its code is not five digits, which {action.name} needs")
    return Row(action, email, login, secret, code, raw)


def token_secret(row: Row) -> bytes:
    """Return the token's own 32 bytes, the key under which the ledger knows the row."""
    return base64.urlsafe_b64decode(row.secret + "==")[:32]
