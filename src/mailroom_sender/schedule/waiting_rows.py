"""Pure: makes batches of one action from waiting rows."""

from collections import defaultdict, deque
from collections.abc import Collection
from typing import Final

from mailroom_sender.input.row import Row

MOST_DESTINATIONS: Final = 50
"""Destinations in one SendBulkTemplatedEmail call (SES API reference)."""


class WaitingRows:
    """Rows that wait for a call: a queue for each action."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[tuple[int, Row]]] = defaultdict(deque)  # by the action's name
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def put(self, row: Row) -> None:
        """Let a row wait behind the others of its action."""
        self._rows[row.action.name].append((self._arrivals, row))
        self._arrivals += 1

    @property
    def actions(self) -> list[str]:
        """Return the names of the actions whose rows wait."""
        return [name for name, rows in self._rows.items() if rows]

    def next_batch(self, closed: Collection[str] = (), most: int = MOST_DESTINATIONS) -> list[Row]:
        """Remove and return up to `most` rows of the open action that waits longest; [] if there are none."""
        oldest = self._oldest(closed)
        return [oldest.popleft()[1] for _ in range(min(most, len(oldest)))]

    def next_size(self, closed: Collection[str], most: int) -> int:
        """Return the number of rows that next_batch() would return."""
        return min(most, len(self._oldest(closed)))

    def _oldest(self, closed: Collection[str]) -> deque[tuple[int, Row]]:
        open_rows = [rows for name, rows in self._rows.items() if rows and name not in closed]
        return min(open_rows, key=lambda rows: rows[0][0], default=deque())

    def take_all(self) -> list[Row]:
        """Remove and return the rows of all actions."""
        rows = [row for waiting in self._rows.values() for _, row in waiting]
        for waiting in self._rows.values():
            waiting.clear()
        return rows
