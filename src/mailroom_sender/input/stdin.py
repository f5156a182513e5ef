"""Reads complete lines from stdin. Bytes after the last newline are not a line."""

import array
import fcntl
import os
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mailroom_sender.input.row import Bytes

MOST_READ: Final = 1 << 16
"""Bytes that are read at once."""
LONGEST_LINE: Final = 1 << 23
"""Bytes of a line: 8 MiB, for 10,000 rows of 838 bytes. The collector writes at most 1 MiB."""


@dataclass(frozen=True, slots=True)
class OverlongLine:
    """A piece of a line that is longer than LONGEST_LINE. All pieces of the line come, in order."""

    data: Bytes
    is_first: bool


class LineInput:
    """Reads a descriptor when it is readable, and yields complete lines."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        self._partial = bytearray()
        self._is_overlong = False  # whether the line that is being read is too long

    @property
    def waiting(self) -> int:
        """Return how many bytes can be read at once; 0 if the system does not say."""
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self.fd, termios.FIONREAD, count)
        except OSError:
            return 0
        return max(0, count[0])

    def read(self, most: int = MOST_READ) -> Iterator[Bytes | OverlongLine]:
        """Read once, at most so many bytes, and yield complete lines without their newline."""
        data = os.read(self.fd, most)
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
        """Return the bytes after the last newline. If there are any, the writer ended in the middle of a line."""
        return self._partial
