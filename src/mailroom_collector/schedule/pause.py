"""Pure: whether an operator has paused the queue, and what to say when that changes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

INTERVAL: Final = 5.0
"""Seconds between questions whether the queue is paused, and whether inserts are silent."""
LEAST: Final = 1.0
"""Seconds between questions at least, when notifications come: pause and resume notify."""


@dataclass(slots=True)
class Pause:
    """What the ledger last said about it."""

    queue: str
    since: datetime | None = field(default=None, init=False)

    def watched(self, since: datetime | None, reason: str | None) -> str | None:
        """Take what the ledger says; return a line for the log when it is news."""
        before, self.since = self.since, since
        if since is not None and since != before:
            why = f" ({reason})" if reason else ""
            return (
                f"the queue {self.queue} is paused since {_stamp(since)} UTC{why}: nothing is handed out, and what was"
                " and is not begun goes back, until 'mailroom-collect resume'"
            )
        if since is None and before is not None:
            return f"the queue {self.queue} is not paused any more: it was since {_stamp(before)} UTC"
        return None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
