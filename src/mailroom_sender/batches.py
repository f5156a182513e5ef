"""Pure: waiting rows to batches of one action."""

from collections import deque
from typing import Final

from mailroom_sender.rows import Action, Row

MOST_DESTINATIONS: Final = 50
"""Destinations in one SendBulkTemplatedEmail call (SES API reference)."""


class Waiting:
    """Rows that were read and wait for a call, the actions apart, each in order."""

    def __init__(self) -> None:
        self._rows: dict[Action, deque[tuple[int, Row]]] = {action: deque() for action in Action}
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def put(self, row: Row) -> None:
        """Let a row wait behind the others of its action."""
        self._rows[row.action].append((self._arrivals, row))
        self._arrivals += 1

    def next_batch(self, closed: frozenset[Action] = frozenset()) -> list[Row]:
        """Take up to 50 rows of the action that waits longest and is not closed; [] if there are none."""
        open_rows = [rows for action, rows in self._rows.items() if rows and action not in closed]
        if not open_rows:
            return []
        oldest = min(open_rows, key=lambda rows: rows[0][0])
        return [oldest.popleft()[1] for _ in range(min(MOST_DESTINATIONS, len(oldest)))]

    def take_all(self) -> list[Row]:
        """Take every row, whatever its action."""
        rows = [row for waiting in self._rows.values() for _, row in waiting]
        for waiting in self._rows.values():
            waiting.clear()
        return rows
