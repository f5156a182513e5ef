"""Pure: whether an operator has paused the queue, and what to log when that changes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

INTERVAL: Final = 5.0
"""Seconds between questions whether the queue is paused, and whether another session polls fast."""
LEAST: Final = 1.0
"""Seconds between questions at least, when notifications come: pause and resume notify."""


class PauseChange(NamedTuple):
    """The queue was paused, or it was resumed."""

    is_paused: bool
    reason: str | None
    text: str


@dataclass(slots=True)
class Pause:
    """What the ledger last said about the pause of a queue."""

    queue: str
    since: datetime | None = field(default=None, init=False)

    def update(self, since: datetime | None, reason: str | None) -> PauseChange | None:
        """Note what the ledger says. Return the change, or None if nothing changed."""
        before, self.since = self.since, since
        if since is not None and since != before:
            why = f" ({reason})" if reason else ""
            return PauseChange(
                True,
                reason,
                f"the queue {self.queue} is paused since {_stamp(since)} UTC{why}: nothing more is printed, and rows"
                " that no sender has begun are released, until 'mailroom-collect resume'",
            )
        if since is None and before is not None:
            return PauseChange(
                False, None, f"the queue {self.queue} is not paused any more; it was paused since {_stamp(before)} UTC"
            )
        return None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
