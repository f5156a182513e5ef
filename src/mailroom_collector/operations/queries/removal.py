"""Removes settled deliveries that are old, batch by batch (migrations/3_operations.up.sql)."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mailroom_collector.operations.queries.session import asked
from mailroom_runtime.postgres.connection import DeadlineConnection

SHORTEST: Final = timedelta(days=1)
"""The longest lease that there can be; also what status counts."""
_ROWS: Final = 1000
"""Deliveries looked at in one transaction: some milliseconds."""
STATES: Final = ("sent", "failed", "skipped", "emitted")


@dataclass(slots=True)
class Removal:
    """How far it has come."""

    removed: Counter[str] = field(default_factory=Counter)
    """By state; of a dry run what would be."""
    reached: datetime | None = None
    """When the last delivery looked at was queued."""
    is_end: bool = False

    @property
    def total(self) -> int:
        """Return how many of all states."""
        return self.removed.total()


def prune(
    connection: DeadlineConnection,
    queue: str,
    older_than: timedelta,
    *,
    dry_run: bool,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Removal]:
    """Remove what is old, a batch a turn; each is committed when it is yielded, so that one may stop at any.

    Rests after each for as long as it took: at most half of a core and of a disk is taken from the
    pipeline. Raises what asked() makes of a failure.
    """
    removal, after = Removal(), 0
    while not removal.is_end:
        began = time.monotonic()
        with asked():
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
