"""Reads rows from stdin, and lets them wait for a call. Rejects what can't be read."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Final

from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import BadRow, Bytes, Row, UnknownRow
from mailroom_sender.input.stdin import LONGEST_LINE, MOST_READ, LineInput, OverlongLine
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.held_input import HeldInput

_DISK_RETRY: Final = 1.0  # seconds between tries to write what could not be written
_ROWS_AT_ONCE: Final = 500  # rows that are decoded at once; bad rows among them are written together
_SHORTEST_ROW: Final = 100
"""Bytes: the secret has 86. So a read brings no more rows than there is room for, apart from the rest of a line."""
_LEAST_READ: Final = 512  # bytes


class RowReader:
    """Reads only while there is room for more rows. Without room the pipe fills, and the collector waits."""

    def __init__(
        self,
        stdin: LineInput,
        unknown_actions: UnknownActions,
        schedule: CallSchedule,
        unsent: UnsentRows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The schedule says how many rows may wait. The rest of one line may be added to them."""
        self._stdin = stdin
        self._unknown_actions = unknown_actions
        self._schedule = schedule
        self.unsent = unsent
        self._clock = clock
        self._held = HeldInput()
        self._unread: Iterator[Row | UnknownRow | BadRow] | None = None  # the rest of the lines that were read

    @property
    def fd(self) -> int:
        """Return the descriptor to poll."""
        return self._stdin.fd

    @property
    def has_ended(self) -> bool:
        """Return whether the input has ended."""
        return self._stdin.ended

    @property
    def has_room(self) -> bool:
        """Return whether more of the rows that are read may wait for a call or for their action."""
        room = self._schedule.room_for_read_rows(self._clock())
        return room > len(self._unknown_actions) and not self.unsent.unwritten

    @property
    def _room_to_read(self) -> int:
        """Return how many more rows may be read; 0 or less: none."""
        if self.unsent.unwritten:
            return 0
        return self._schedule.room(self._clock()) - len(self._unknown_actions)

    @property
    def wants_input(self) -> bool:
        """Return whether to read the descriptor."""
        return not self._stdin.ended and self._unread is None and self._room_to_read > 0

    @property
    def unknown_count(self) -> int:
        """Return how many rows wait for their action to be known."""
        return len(self._unknown_actions)

    @property
    def is_empty(self) -> bool:
        """Return whether everything that was read is passed on or written."""
        return self._unread is None and not self.unsent.unwritten

    def deadline(self, now: float) -> float:
        """Return when there is something to do even if no input comes."""
        if self._unread is not None and self.has_room:
            return now
        retry_at = now + _DISK_RETRY if self.unsent.unwritten else float("inf")
        return min(retry_at, self._held.read_at, self._unknown_actions.deadline())

    def read(self) -> None:
        """Read the descriptor once, and decode rows while there is room."""
        self._read(self._bytes_to_read)

    def read_held(self) -> None:
        """While all calls are held, read what waits in the pipe, little by little: its rows go back to the ledger."""
        if not self._schedule.gives_all_back:
            self._held.end()
        elif self._unread is None and not self.unsent.unwritten:
            most = self._held.bytes_to_read(self._stdin.waiting, self._clock())
            if most:
                self._read(min(MOST_READ, most))

    def _read(self, most: int) -> None:
        lines: list[Bytes] = []
        for line in self._stdin.read(most):
            if isinstance(line, OverlongLine):
                reject = self.unsent.reject_all if line.is_first else self.unsent.reject_more
                reject([BadRow(line.data, f"the line is longer than {LONGEST_LINE:,} bytes")])
            else:
                lines.append(line)
        if self._stdin.ended and self._stdin.leftover():
            self.unsent.reject(self._stdin.leftover(), "the input ended before the end of the line")
        self._unread = self._decode(lines)
        self.take_rows()

    @property
    def _bytes_to_read(self) -> int:
        """Return how many bytes to read, so that there is room for their rows.

        Rows that are still in the pipe can't overtake rows that are read. That matters if the rate is known, or if
        calls are held.
        """
        if not self._schedule.pace.is_known and not self._schedule.is_held:
            return MOST_READ
        return min(MOST_READ, max(_LEAST_READ, self._room_to_read * _SHORTEST_ROW))

    def _decode(self, lines: Iterable[Bytes]) -> Iterator[Row | UnknownRow | BadRow]:
        for line in lines:
            yield from decode_line(line, self._unknown_actions.known)

    def take_rows(self, *, all_of_them: bool = False) -> None:
        """Decode rows of the lines that were read, while there is room. A line may have thousands of rows."""
        while self._unread is not None and (self.has_room or all_of_them):
            rows, now = list(itertools.islice(self._unread, _ROWS_AT_ONCE)), self._clock()
            self.unsent.reject_all([bad for row in rows if (bad := self._pass_on(row, now))])
            if len(rows) < _ROWS_AT_ONCE:
                self._unread = None

    def _pass_on(self, row: Row | UnknownRow | BadRow, now: float, *, was_asked_for: bool = False) -> BadRow | None:
        """Let a row wait for a call or for its action. If the row is bad, return it with the reason."""
        if isinstance(row, Row):
            self._schedule.put(row, now)
        elif isinstance(row, BadRow):
            return row
        elif was_asked_for or not self._unknown_actions.put(row):
            return BadRow(row.raw, self._unknown_actions.why_unknown(row))
        return None

    def poll_actions(self, pool: Executor, now: float, on_finished: Callable[[], None], *, is_busy: bool) -> None:
        """Ask for the actions if it is time. Decode the rows again whose question is answered."""
        answered = self._unknown_actions.poll(pool, now, on_finished, is_busy=is_busy)
        rows = self._decode(unknown.raw for unknown in answered)
        self.unsent.reject_all([bad for row in rows if (bad := self._pass_on(row, now, was_asked_for=True))])

    def flush(self) -> None:
        """Write the rejected rows that are not written yet."""
        if self.unsent.unwritten:
            self.unsent.flush()
