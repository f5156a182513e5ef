"""Counts each settlement once, from the first query on, because a counter of Prometheus must never decrease.

The number of rows in the ledger is not such a counter: prune decreases it, and it may be millions. So each query
reads what was settled after the snapshot of the query before (mailroom_settlements).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mailroom_runtime.postgres.connection import DeadlineConnection

BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
"""Upper bounds of the histogram's buckets, in seconds; 900 is the life of a token by default."""
_LATE: Final = timedelta(minutes=1)
"""A settlement is counted if its transaction takes no longer than this: its time is the begin of the transaction."""
_REASONS: Final = 50
"""The number of reasons that get a series each. The others are counted together, so that Prometheus can't overflow."""
OTHER: Final = "other"
EXPIRED: Final = "the token expired"
"""The reason that mailroom_stale() gives for an expired token (migrations/4_actions.up.sql)."""
KNOWN: Final = (("sent", ""), ("emitted", ""), ("failed", OTHER), ("skipped", EXPIRED), ("skipped", OTHER))
"""States and reasons that are served from the start, at 0, because an alert may wait for their first increase."""


@dataclass(slots=True)
class SettlementCounts:
    """The counts of what was settled since the first query."""

    settled: dict[tuple[str, str], int] = field(default_factory=lambda: dict.fromkeys(KNOWN, 0))
    """By state and reason; the reason is empty for what was sent or emitted."""
    doubts: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    last_sent_at: datetime | None = None
    _snapshot: str | None = field(default=None, init=False)
    _at: datetime | None = field(default=None, init=False)

    def update(self, connection: DeadlineConnection, queue: str, at: datetime) -> None:
        """Add what was settled since the last call. `at` is the time of the snapshot; call it within one_snapshot().

        Raises psycopg's errors, and adds nothing then.
        """
        row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
        snapshot = str(row[0]) if row else ""
        if self._snapshot is None or self._at is None or _next(snapshot) < _next(self._snapshot):
            # This is the first query, or another server has taken over that lacks the last transactions.
            self._begin(connection, queue)
        else:
            self._add(connection, queue, self._at, snapshot)
        self._snapshot, self._at = snapshot, at

    def _begin(self, connection: DeadlineConnection, queue: str) -> None:
        """Count from 0. The reasons of the last day get a series each, because they are likely to come again."""
        rows = connection.execute(
            "SELECT state, reason, mailroom.mailroom_first_reason(reason), newest"
            " FROM mailroom.mailroom_recent(%s::mailroom.job_type)",
            (queue,),
        ).fetchall()
        for state, reason, first, newest in rows:
            self.add(state, reason, 0, first)
            if state == "sent":
                self.last_sent_at = newest

    def _add(self, connection: DeadlineConnection, queue: str, since: datetime, snapshot: str) -> None:
        rows = connection.execute(
            "SELECT state, reason, mailroom.mailroom_first_reason(reason), bucket, deliveries, doubts, seconds, newest"
            " FROM mailroom.mailroom_settlements("
            "%s::mailroom.job_type, %s::timestamptz, %s::pg_snapshot, %s::pg_snapshot, %s::float8[])",
            (queue, since - _LATE, self._snapshot, snapshot, list(BOUNDS)),
        ).fetchall()
        for state, reason, first, bucket, deliveries, doubts, seconds, newest in rows:
            self.add(state, reason, deliveries, first)
            self.doubts += doubts
            if bucket is not None:
                self.buckets[bucket - 1] += deliveries
                self.seconds += seconds
            if state == "sent":
                self.last_sent_at = max(newest, self.last_sent_at or newest)

    def add(self, state: str, reason: str | None, deliveries: int, first: str | None = None) -> None:
        """Add deliveries of a state and reason. `first` is the reason without the part about the last try."""
        key = self._key(state, reason or "", first or reason or "")
        self.settled[key] = self.settled.get(key, 0) + deliveries

    def _key(self, state: str, reason: str, first: str) -> tuple[str, str]:
        """Return the key to count under. If there are too many reasons, that is `first` or `other`."""
        if (state, reason) in self.settled or len(self.settled) < _REASONS:
            return state, reason
        return state, first if (state, first) in self.settled else OTHER


def _next(snapshot: str) -> int:
    """Return xmax, the first transaction that a snapshot ('xmin:xmax:xip,...') does not know."""
    return int(snapshot.split(":")[1])
