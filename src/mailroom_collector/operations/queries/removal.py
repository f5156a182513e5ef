"""Removes old settled deliveries, batch by batch (migrations/3_operations.up.sql)."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mailroom_collector.operations.queries.session import translated_for_operator
from mailroom_runtime.postgres.connection import DeadlineConnection

SHORTEST: Final = timedelta(days=1)
"""The shortest age. The longest lease and the longest period of status are as long."""
_ROWS: Final = 1000
"""The number of deliveries that one transaction reads. It takes some milliseconds."""
STATES: Final = ("sent", "failed", "skipped", "emitted")


@dataclass(slots=True)
class Removal:
    """The progress of the removal."""

    removed: Counter[str] = field(default_factory=Counter)
    """The number of removed deliveries by state. In a dry run, those that would be removed."""
    reached: datetime | None = None
    """The time at which the last delivery that was read was queued."""
    is_end: bool = False

    @property
    def total(self) -> int:
        """Return the number of removed deliveries of all states."""
        return self.removed.total()


def removals(
    connection: DeadlineConnection,
    queue: str,
    older_than: timedelta,
    *,
    dry_run: bool,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Removal]:
    """Remove old deliveries batch by batch. Yield the progress after each commit: the caller may stop at any time.

    After each batch it pauses for the duration of the batch, so that a pipeline has at least half of the server's
    core and disk. Raises what translated_for_operator() raises.
    """
    removal, after = Removal(), 0
    while not removal.is_end:
        began = time.monotonic()
        with translated_for_operator():
            row = connection.execute(
                "SELECT last_token, reached, is_end, sent, failed, skipped, emitted"
                " FROM mailroom.mailroom_prune(%s::mailroom.job_type, %s::interval, %s::bigint, %s::integer, %s)",
                (queue, older_than, after, _ROWS, dry_run),
            ).fetchone()
        last, reached, removal.is_end, *counts = row or (None, None, True, 0, 0, 0, 0)
        after, removal.reached = last or after, reached or removal.reached
        removal.removed.update(dict(zip(STATES, counts, strict=True)))
        yield removal
        if not removal.is_end:
            pause(time.monotonic() - began)
