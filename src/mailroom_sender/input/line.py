"""Pure: splits a line into rows and bad rows.

A row has five CSV fields (RFC 4180), and commas join the rows of a line. A row that breaks a rule becomes a bad row
with a reason. The other rows of the line stay good, if the line can be split into rows.
"""

import base64
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mailroom_runtime.words import counted
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import BadRow, Bytes, Row, UnknownRow

MOST_ROWS: Final = 10_000
"""Rows of a line. MAILROOM_BATCH_LIMIT allows no more."""
LONGEST_ROW: Final = 4096
"""Bytes of a row. An email and a login of 254 characters with four bytes each are half of it."""
_FIELDS: Final = 5
# A quoted field, in which quotes are doubled, or a bare field without quotes. The quantifiers are possessive (with a +
# behind them). Otherwise the engine would store a way back for each byte of a long field: a hundred times its size.
_FIELD = re.compile(rb'"((?:[^"]++|"")*+)"(?=,|$)|([^",]*+)(?=,|$)', re.DOTALL)
_BARE_ROW = re.compile(b",".join([rb"([^,]*+)"] * _FIELDS))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# 64 bytes in unpadded base64url. The last character has two bits of them; its other bits are 0 (RFC 4648, 3.5).
_SECRET = re.compile(r"[A-Za-z0-9_-]{85}[AQgw]", re.ASCII)
_CODE = re.compile(r"[0-9]{5}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


def decode_line(line: Bytes, known: Mapping[str, MailAction]) -> Iterator[Row | UnknownRow | BadRow]:
    """Yield the rows of one line, which has no newline at its end. `known` has the actions by number.

    It yields row by row, so that a long line needs little more memory than its bytes.
    """
    count = _count_quoted(line) if b'"' in line else line.count(b",") + 1
    if count is None:
        yield BadRow(line, "the line is not CSV: a quote is out of place")
    elif count > MOST_ROWS * _FIELDS:
        yield BadRow(line, f"the line has more than {MOST_ROWS:,} rows")
    elif count % _FIELDS:
        yield BadRow(line, f"the line has {counted(count, 'field')}, which is not a multiple of {_FIELDS}")
    else:
        for values, raw in _split(line) if b'"' in line else _split_bare(line):
            is_long = len(raw) > LONGEST_ROW
            yield BadRow(raw, f"the row is longer than {LONGEST_ROW:,} bytes") if is_long else _row(values, raw, known)


def _fields(line: Bytes) -> Iterator[re.Match[bytes] | None]:
    """Yield a match for each field. If the line is not CSV, yield None last."""
    place = -1
    while place < len(line):
        match = _FIELD.match(line, place + 1)
        yield match
        if match is None:
            return
        place = match.end()


def _count_quoted(line: Bytes) -> int | None:
    """Return the number of fields, or one more than is allowed if there are more; None if the line is not CSV."""
    count = 0
    for match in itertools.islice(_fields(line), MOST_ROWS * _FIELDS + 1):
        if match is None:
            return None
        count += 1
    return count


def _split(line: Bytes) -> Iterator[tuple[Sequence[bytes], bytes]]:
    """Yield the values and the bytes of each row."""
    fields = (match for match in _fields(line) if match)
    while matches := list(itertools.islice(fields, _FIELDS)):
        yield [_value(match) for match in matches], bytes(line[matches[0].start() : matches[-1].end()])


def _value(match: re.Match[bytes]) -> bytes:
    quoted, bare = match.groups()
    return bare if quoted is None else quoted.replace(b'""', b'"')


def _split_bare(line: Bytes) -> Iterator[tuple[Sequence[bytes], bytes]]:
    """Do the same for a line without a quote. Almost no line has one."""
    place = 0
    while match := _BARE_ROW.match(line, place):
        yield match.groups(), match[0]
        place = match.end() + 1


def _row(values: Sequence[bytes], raw: bytes, known: Mapping[str, MailAction]) -> Row | UnknownRow | BadRow:
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
    """Return the 32 bytes of tokens.secret, by which the ledger finds the row."""
    return base64.urlsafe_b64decode(row.secret + "==")[:32]
