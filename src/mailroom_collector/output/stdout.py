"""stdout: whole lines go out; which of them the reader took; is the reader gone.

Never blocks on a pipe: on Linux a pipe that polls writable takes PIPE_BUF bytes at once
(pipe(7)), so no more than that is written after a poll. O_NONBLOCK would be a simpler way,
but it belongs to the open file, which the shell and other programs may share.
"""

import array
import fcntl
import os
import select
import stat
import termios
from collections import deque
from collections.abc import Iterable

from mailroom_collector.errors import ReaderGone
from mailroom_collector.sign.line import OutputLine

_FILE_CHUNK = 1 << 16


class LineOutput:
    """A queue of lines on their way to a descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._chunk = select.PIPE_BUF if self._is_pipe else _FILE_CHUNK
        self._waiting: deque[OutputLine] = deque()
        self._begun: deque[tuple[int, OutputLine]] = deque()  # with the place in the stream where it ends
        self._buffer = memoryview(b"")
        self._written = 0
        self.lines = 0
        self.rows = 0
        """Lines and rows on their way out since the start: a byte of them was written, or is about to be."""

    @property
    def empty(self) -> bool:
        """Say whether all that was put is written."""
        return not self._waiting and not self._buffer

    @property
    def rows_waiting(self) -> int:
        """Return the rows that were put and of which nothing is written."""
        return sum(len(line.tokens) for line in self._waiting)

    @property
    def holds_begun(self) -> bool:
        """Say whether there are written lines whose reading was not seen yet."""
        return bool(self._begun)

    def put(self, lines: Iterable[OutputLine]) -> None:
        """Take lines to be written."""
        self._waiting.extend(lines)

    def write(self) -> None:
        """Write as much as certainly does not block; the descriptor must have polled writable.

        Raises ReaderGone when nobody reads any more, or it can't be written.
        """
        if not self._buffer:
            self._begin_lines()
        try:
            count = os.write(self.fd, self._buffer[: self._chunk])
        except BrokenPipeError:
            raise ReaderGone("the reader of stdout went away") from None
        except OSError as error:
            raise ReaderGone(f"stdout can't be written: {error.strerror}") from None
        self._written += count
        self._buffer = self._buffer[count:]

    def _begin_lines(self) -> None:
        """Move waiting lines to the buffer: one at least, more while they fit one write."""
        end = self._written
        parts: list[bytes] = []
        while self._waiting and (not parts or end - self._written + len(self._waiting[0].data) <= self._chunk):
            line = self._waiting.popleft()
            end += len(line.data)
            parts.append(line.data)
            self._begun.append((end, line))
            self.lines += 1
            self.rows += len(line.tokens)
        self._buffer = memoryview(b"".join(parts))

    def taken(self) -> list[int]:
        """Return the tokens of the lines that the reader took since the last call.

        Of a pipe that is what left it (FIONREAD); elsewhere what was written.
        """
        left = self._written - self._unread()
        tokens: list[int] = []
        while self._begun and self._begun[0][0] <= left:
            tokens.extend(self._begun.popleft()[1].tokens)
        return tokens

    def _unread(self) -> int:
        if not self._is_pipe:
            return 0
        unread = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, unread)
        return unread[0]

    def withdraw(self) -> list[int]:
        """Drop the lines of which no byte is written, and return their tokens."""
        tokens = [token for line in self._waiting for token in line.tokens]
        self._waiting.clear()
        return tokens

    def close(self) -> None:
        """Close the descriptor, so that the reader sees the end."""
        os.close(self.fd)
