"""Removes settled deliveries that are old, batch by batch (migrations/3_operations.up.sql)."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mailroom_collector.operations.queries.session import translated_for_operator
from mailroom_runtime.postgres.connection import DeadlineConnection

SHORTEST: Final = timedelta(days=1)
"""The longest lease that can be set, and the longest time that status counts."""
_ROWS: Final = 1000
"""Deliveries that one transaction reads: it takes some milliseconds."""
STATES: Final = ("sent", "failed", "skipped", "emitted")


@dataclass(slots=True)
class Removal:
    """How far the removal has come."""

    removed: Counter[str] = field(default_factory=Counter)
    """The number of deliveries by state; in a dry run, of those that would be removed."""
    reached: datetime | None = None
    """When the last delivery that was read was queued."""
    is_end: bool = False

    @property
    def total(self) -> int:
        """Return how many of all states."""
        return self.removed.total()


def removals(
    connection: DeadlineConnection,
    queue: str,
    older_than: timedelta,
    *,
    dry_run: bool,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Removal]:
    """Remove what is old, batch by batch. A batch is committed when it is yielded: the caller may stop after any.

    Pauses after each batch for as long as the batch took, so that the pipeline keeps at least half of a core and of a
    disk. Raises what translated_for_operator() makes of a failure.
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
