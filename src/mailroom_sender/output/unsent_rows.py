"""Writes rows that could not be read or sent to files, so that none is lost.

`rejected_<UTC time>_<pid>.jsonl`   one JSON object for each bad line or row: time, reason, row
`replay_<UTC time>_<pid>.csv`       rows in the wire format: `mailroom-send < FILE` sends them

Both have mode 0600, because they contain secrets. They are synced. They are never overwritten and never deleted.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailroom_runtime.words import counted
from mailroom_sender.input.row import BadRow, Bytes, Row
from mailroom_sender.log import log
from mailroom_sender.output.growing_file import GrowingFile
from mailroom_sender.output.rejected_entry import rejected_entries
from mailroom_sender.output.write_queue import WriteQueue


@dataclass(frozen=True, slots=True)
class _ReplayEntry:
    rows: Sequence[Row]

    def encode(self) -> bytes:
        return b"".join(row.raw + b"\n" for row in self.rows)


class UnsentRows:
    """Callable from any thread. If the disk can't be written, rows are kept in memory until it can."""

    def __init__(self, folder: Path) -> None:
        self._rejected = GrowingFile(folder, "rejected", ".jsonl")
        self._replay = GrowingFile(folder, "replay", ".csv")
        self._writes = WriteQueue(folder)
        self._lock = threading.Lock()
        self._rejected_count = 0
        self._replay_count = 0

    @property
    def unwritten(self) -> int:
        """Return the number of entries that are not written yet."""
        return len(self._writes)

    @property
    def summary(self) -> str:
        """Return how many rows were written to which files since the start; empty if none were."""
        parts: list[str] = []
        if self._rejected_count:
            count = counted(self._rejected_count, "row or line", "rows or lines")
            parts.append(f"{count} rejected: see {self._rejected.path}")
        if self._replay_count:
            count = counted(self._replay_count, "row")
            parts.append(f"{count} not sent: 'mailroom-send < {self._replay.path}' tries again")
        return "; ".join(parts)

    def reject(self, raw: Bytes, reason: str) -> None:
        """Write bytes that are not a valid row, or a row that can never be sent."""
        self.reject_all([BadRow(raw, reason)])

    def reject_all(self, rows: Sequence[BadRow]) -> None:
        """Write bytes that are not valid rows, or rows that can never be sent. Log each reason once."""
        for reason, count in Counter(row.reason for row in rows).items():
            log(
                f"rejecting {counted(count, 'row or line', 'rows or lines')}: {reason}",
                "warning",
                event="rows_rejected",
                count=count,
                reason=reason,
            )
        with self._lock:
            self._rejected_count += len(rows)
        self.reject_more(rows)

    def reject_more(self, rows: Sequence[BadRow]) -> None:
        """Write further pieces of something that was rejected before. They are neither counted nor logged."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._writes.put(self._rejected, [entry for row in rows for entry in rejected_entries(row, now)])

    def replay(self, rows: Sequence[Row], reason: str) -> None:
        """Write rows that were not sent, one a line."""
        log(
            f"writing {counted(len(rows), 'row')} to a replay file: {reason}",
            "warning",
            event="rows_to_replay",
            count=len(rows),
            reason=reason,
        )
        with self._lock:
            self._replay_count += len(rows)
        self._writes.put(self._replay, [_ReplayEntry(rows)])

    def flush(self) -> None:
        """Write the entries that are not written yet."""
        self._writes.flush()
