"""Pure: rows that this sender itself tries again, each at its time. Times are seconds of one clock."""

import heapq
from collections import Counter

from mailroom_sender.input.row import Row


class RetryQueue:
    """A queue of rows. The row that is due first comes first."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, Row]] = []
        self._arrivals = 0  # so that rows themselves are never compared
        self._counts: Counter[str] = Counter()  # by the action's name

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row, due_at: float) -> None:
        """Let a row wait until then."""
        self._arrivals += 1
        self._counts[row.action.name] += 1
        heapq.heappush(self._rows, (due_at, self._arrivals, row))

    def count(self, action: str) -> int:
        """Return how many rows of an action wait."""
        return self._counts[action]

    @property
    def due_at(self) -> float:
        """Return when the next row is due; infinity if there is none."""
        return self._rows[0][0] if self._rows else float("inf")

    def take_due(self, now: float) -> list[Row]:
        """Remove and return the rows that are due."""
        rows: list[Row] = []
        while self.due_at <= now:
            rows.append(heapq.heappop(self._rows)[2])
            self._counts[rows[-1].action.name] -= 1
        return rows

    def take_all(self) -> list[Row]:
        """Remove and return all rows."""
        rows, self._rows = [row for _, _, row in self._rows], []
        self._counts.clear()
        return rows
