"""Pure: makes JSON objects of rejected bytes and the reason."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mailroom_sender.input.row import BadRow, Bytes

LONGEST_PART: Final = 1 << 16
"""Bytes in one object. Longer bytes get several objects, with `part` (counted from 1) and `parts`."""


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """One object. It is encoded only when it is written, because JSON may need six times its bytes."""

    raw: Bytes | memoryview = field(repr=False)
    head: dict[str, Any]

    def encode(self) -> bytes:
        """Return the object as a line."""
        raw = bytes(self.raw)
        try:
            row = {"row": raw.decode()}
        except UnicodeDecodeError:
            row = {"row_hex": raw.hex()}
        return json.dumps(self.head | row).encode() + b"\n"


def rejected_entries(row: BadRow, time: str) -> list[RejectedEntry]:
    """Return the objects for one bad row or line. `time` is in UTC and in the format of ISO 8601."""
    head = {"time": time, "reason": row.reason}
    if len(row.raw) <= LONGEST_PART:
        return [RejectedEntry(row.raw, head)]
    parts = list(_parts(row.raw))
    return [RejectedEntry(part, head | {"part": place, "parts": len(parts)}) for place, part in enumerate(parts, 1)]


def _parts(raw: Bytes) -> Iterator[memoryview]:
    """Split a long line, but not within a UTF-8 character."""
    view, start = memoryview(raw), 0
    while start < len(view):
        end = min(start + LONGEST_PART, len(view))
        while end < len(view) and end > start + 4 and view[end] & 0xC0 == 0x80:  # noqa: PLR2004 - RFC 3629, 3
            end -= 1
        yield view[start:end]
        start = end
