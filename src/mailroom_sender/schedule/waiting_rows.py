"""Pure: makes batches of one action from waiting rows; the actions for which somebody waits at a screen go first.

A row of an action with a higher head start is treated as if it had come up to 2 s earlier. So it overtakes the rows of
other actions in the sender, which are about a second's. A row that waits for longer than that still goes first. Times
are monotonic seconds that the caller passes.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Final

from mailroom_sender.input.row import Row

MOST_DESTINATIONS: Final = 50
"""Destinations in one SendBulkTemplatedEmail call (SES API reference)."""
_HEAD_START: Final = 2.0
"""The most seconds that an action is ahead of the action with the next lower head start."""


def advantages(head_starts: Iterable[int]) -> Mapping[int, float]:
    """Return for each head start by how many seconds its rows are ahead of those with the lowest one.

    The ledger orders by the whole head starts, which are hours. Here it is enough that the higher one is ahead.
    """
    levels = sorted(set(head_starts))
    ahead = dict.fromkeys(levels[:1], 0.0)
    for lower, higher in pairwise(levels):
        ahead[higher] = ahead[lower] + min(_HEAD_START, higher - lower)
    return ahead


class WaitingRows:
    """Rows that wait for a call: a queue for each action."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[tuple[float, Row]]] = defaultdict(deque)  # by the action's name, with their arrival

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def put(self, row: Row, now: float) -> None:
        """Let a row wait behind the others of its action."""
        self._rows[row.action.name].append((now, row))

    @property
    def actions(self) -> list[str]:
        """Return the names of the actions whose rows wait."""
        return [name for name, rows in self._rows.items() if rows]

    def count(self, action: str) -> int:
        """Return how many rows of an action wait."""
        return len(self._rows[action]) if action in self._rows else 0

    def first(self, closed: Collection[str] = ()) -> str | None:
        """Return the open action whose turn it is; None if no row of an open action waits."""
        heads = {name: rows[0] for name, rows in self._rows.items() if rows and name not in closed}
        if len(heads) < 2:  # noqa: PLR2004 - nothing to compare
            return next(iter(heads), None)
        ahead = advantages(row.action.head_start for _, row in heads.values())
        return min(heads, key=lambda name: heads[name][0] - ahead[heads[name][1].action.head_start])

    def take(self, action: str, most: int) -> list[Row]:
        """Remove and return up to `most` rows of an action, the oldest first."""
        rows = self._rows[action]
        return [rows.popleft()[1] for _ in range(min(most, len(rows)))]

    def take_newest(self, action: str, most: int, *, keep: int) -> list[Row]:
        """Remove and return up to `most` rows of an action, the newest ones. Keep so many of the oldest ones."""
        rows = self._rows[action]
        return [rows.pop()[1] for _ in range(max(0, min(most, len(rows) - keep)))]

    def take_all(self) -> list[Row]:
        """Remove and return the rows of all actions."""
        rows = [row for waiting in self._rows.values() for _, row in waiting]
        for waiting in self._rows.values():
            waiting.clear()
        return rows
