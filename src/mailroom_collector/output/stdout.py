"""Writes whole lines to stdout, and finds out which lines the reader has read and whether it has gone.

It never blocks on a pipe. On Linux a pipe that polls writable accepts PIPE_BUF bytes at once (pipe(7)), so it writes
no more than that after a poll. O_NONBLOCK would be simpler, but it belongs to the open file, which the shell and other
programs may share.
"""

import array
import fcntl
import os
import select
import stat
import termios
from collections import deque
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from itertools import chain

from mailroom_collector.errors import ReaderGone
from mailroom_collector.output.token_places import TokenPlace, TokenPlaces
from mailroom_collector.sign.line import OutputLine

_FILE_CHUNK = 1 << 16


class LineOutput:
    """A queue of lines for a descriptor. It moves their tokens from place to place."""

    def __init__(self, fd: int, places: TokenPlaces) -> None:
        self.fd = fd
        self.places = places
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._chunk = select.PIPE_BUF if self._is_pipe else _FILE_CHUNK
        self._waiting: deque[OutputLine] = deque()
        self._unread: deque[tuple[int, OutputLine]] = deque()  # with the offset in the stream where it ends
        self._buffer = memoryview(b"")
        self._written = 0
        self.lines = 0
        self.rows = 0
        """The numbers of lines and rows since the start of which a byte was written, or is about to be."""
        self.rows_read = 0
        """The number of rows since the start that the reader has read, as far as this process knows."""
        self.rows_waiting = 0
        """The number of rows of which no byte is written."""
        self.is_writable = False
        """Whether the descriptor polled writable, and nothing was written since."""
        self.is_stalled = False
        """Whether lines wait and the descriptor is not writable."""

    @property
    def empty(self) -> bool:
        """Return whether all lines are written."""
        return not self._waiting and not self._buffer

    @property
    def rows_unread(self) -> int:
        """Return the number of rows that the reader has not read, whether they are written or not."""
        return self.rows_waiting + self.rows - self.rows_read

    @property
    def has_unread(self) -> bool:
        """Return whether there are written lines that the reader has not read, as far as this process knows."""
        return bool(self._unread)

    def put(self, lines: Iterable[OutputLine]) -> None:
        """Add lines to the queue."""
        lines = list(lines)
        self._move(lines, TokenPlace.WAITING)
        self._waiting.extend(lines)
        self.rows_waiting += sum(line.rows for line in lines)

    def _move(self, lines: Sequence[OutputLine], to: TokenPlace) -> None:
        """Move the tokens of many lines at once, which takes less time than line by line."""
        self.places.move(list(chain.from_iterable([line.tokens for line in lines])), to)

    def write(self) -> None:
        """Write as much as can't block. The descriptor must have polled writable.

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
        self.is_writable = self.is_stalled = False
        self._written += count
        self._buffer = self._buffer[count:]

    def _begin_lines(self) -> None:
        """Move waiting lines to the buffer: at least one, and as many as fit into one write."""
        end = self._written
        lines: list[OutputLine] = []
        while self._waiting and (not lines or end - self._written + len(self._waiting[0].data) <= self._chunk):
            line = self._waiting.popleft()
            end += len(line.data)
            lines.append(line)
            self._unread.append((end, line))
            self.rows += line.rows
            self.rows_waiting -= line.rows
        self.lines += len(lines)
        self._move(lines, TokenPlace.WRITTEN)
        self._buffer = memoryview(b"".join([line.data for line in lines]))

    def note_read(self) -> None:
        """Move the tokens of the lines that the reader has read.

        For a pipe, that is everything that is not in the pipe any more (FIONREAD). Elsewhere, written means read.
        """
        end = self._written - self._bytes_in_pipe()
        lines: list[OutputLine] = []
        while self._unread and self._unread[0][0] <= end:
            lines.append(self._unread.popleft()[1])
        self._move(lines, TokenPlace.READ)
        self.rows_read += sum(line.rows for line in lines)

    def _bytes_in_pipe(self) -> int:
        if not self._is_pipe:
            return 0
        unread = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, unread)
        return unread[0]

    def withdraw(self) -> bool:
        """Drop the lines of which no byte is written; return whether there were any. Their tokens are not moved."""
        had_lines = bool(self._waiting)
        self._waiting.clear()
        self.rows_waiting = 0
        return had_lines

    def remove_tokens(self, tokens: Set[int]) -> None:
        """Remove these tokens from the bookkeeping of all lines. The lines are still written."""
        self._waiting = deque(_without(line, tokens) for line in self._waiting)
        self._unread = deque((end, _without(line, tokens)) for end, line in self._unread)

    def close(self) -> None:
        """Close the descriptor, so that the reader sees the end."""
        os.close(self.fd)


def _without(line: OutputLine, tokens: Set[int]) -> OutputLine:
    if tokens.isdisjoint(line.tokens):
        return line
    return replace(line, tokens=tuple(token for token in line.tokens if token not in tokens))
