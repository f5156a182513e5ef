"""stdin to complete lines. The bytes behind the last newline are never a line."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mailroom_sender.input.row import Bytes

_READ: Final = 1 << 16
LONGEST_LINE: Final = 1 << 23
"""Bytes of a line, 8 MiB: 10,000 rows of 838 bytes. The collector's lines end at 1 MiB."""


@dataclass(frozen=True, slots=True)
class OverlongLine:
    """A piece of a line that is longer than any batch can be; all of its pieces come, in order."""

    data: Bytes
    is_first: bool


class LineInput:
    """Reads a descriptor that is readable, and returns complete lines."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        self._partial = bytearray()
        self._is_overlong = False  # the line that is being read

    def read(self) -> Iterator[Bytes | OverlongLine]:
        """Read once, and yield complete lines without their newline."""
        data = os.read(self.fd, _READ)
        if not data:
            self.ended = True
            return
        *complete, rest = data.split(b"\n")
        for piece in complete:
            yield self._line(piece)
        self._partial += rest
        if self._is_overlong or len(self._partial) > LONGEST_LINE:
            yield OverlongLine(self._partial, not self._is_overlong)
            self._partial, self._is_overlong = bytearray(), True

    def _line(self, end: bytes) -> Bytes | OverlongLine:
        line: Bytes = end
        if self._partial:
            line, self._partial = self._partial, bytearray()
            line += end
        if self._is_overlong or len(line) > LONGEST_LINE:
            is_first, self._is_overlong = not self._is_overlong, False
            return OverlongLine(line + b"\n", is_first)
        return line

    def leftover(self) -> Bytes:
        """Return the bytes after the last newline: the writer died in the middle of a line."""
        return self._partial
