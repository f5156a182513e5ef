"""What could not be read or sent, and SES's errors: to files, before anything is forgotten.

`rejected_<UTC time>_<pid>.jsonl`   one JSON object for each bad line or row: time, reason, row
`replay_<UTC time>_<pid>.csv`       rows in the wire format: `mailroom-send < FILE` sends them
`ses_<UTC time>_<action>.http`      SES's response to a call that it refused

All have mode 0600 (they hold secrets), none is ever overwritten, the first two are synced and never deleted.
What is longer than 64 KiB is rejected in parts: its objects have `part` and `parts`, from 1.
"""

import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mailroom_runtime.errors import SettingError
from mailroom_runtime.words import counted
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import BadRow, Bytes, Row
from mailroom_sender.log import log
from mailroom_sender.output.folder_check import problem_of
from mailroom_sender.output.responses import ResponseFiles, create, stamp

_LONGEST_PART: Final = 1 << 16  # bytes of a line in one JSON object
_MOST_AT_ONCE: Final = 1 << 18  # bytes that are written before they are synced, and a part more


@dataclass(slots=True)
class _Book:
    """One file that grows; made when the first entry comes."""

    folder: Path
    name: str
    ending: str
    fd: int | None = field(default=None)
    path: Path | None = field(default=None)

    def write(self, data: bytes) -> None:
        """Append and sync, all or nothing. Raises OSError."""
        if self.fd is None:
            self.fd, self.path = create(self.folder, f"{self.name}_{stamp()}_{os.getpid()}", self.ending)
            self._sync_folder()
        length = os.fstat(self.fd).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self.fd, left) :]
            os.fsync(self.fd)
        except OSError:
            os.ftruncate(self.fd, length)
            raise

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a file is to get. It is encoded when it is written, as JSON may take six times its bytes."""

    book: _Book
    raw: Bytes | memoryview
    told: dict[str, Any] | None = None  # beside the row; None: the raw bytes are all

    def encode(self) -> bytes:
        """Return the bytes for the file."""
        if self.told is None:
            return bytes(self.raw)
        raw = bytes(self.raw)
        try:
            row = {"row": raw.decode()}
        except UnicodeDecodeError:
            row = {"row_hex": raw.hex()}
        return json.dumps(self.told | row).encode() + b"\n"


def _parts(raw: Bytes) -> Iterator[memoryview]:
    """Cut a long line, not within a UTF-8 character."""
    view, start = memoryview(raw), 0
    while start < len(view):
        end = min(start + _LONGEST_PART, len(view))
        while end < len(view) and end > start + 4 and view[end] & 0xC0 == 0x80:  # noqa: PLR2004 - RFC 3629, 3
            end -= 1
        yield view[start:end]
        start = end


class OutputFiles:
    """Writes from any thread; what the disk does not take is kept, and owed, until it does."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be. Raises SettingError when nothing can be written there, or others could."""
        try:
            problem = problem_of(folder)
            if not problem:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"MAILROOM_SES_OUTPUT_PATH: {folder} can't be made: {error.strerror}", "give a folder that can"
            ) from None
        if problem:
            raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {problem}", "give a folder that only this user can change")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {folder} is not writable", "give a folder that is")
        self._folder = folder
        self._rejected = _Book(folder, "rejected", ".jsonl")
        self._replay = _Book(folder, "replay", ".csv")
        self._responses = ResponseFiles(folder)
        self._lock = threading.Lock()
        self._owed: deque[_Entry] = deque()
        self._complaint = ""
        self._count = {"rejected": 0, "replay": 0}

    @property
    def owes(self) -> int:
        """Return how many entries the disk has not taken yet."""
        return len(self._owed)

    @property
    def told(self) -> str:
        """Return how much of what was read went to which files, since the start; empty if nothing did."""
        rejected, unsent = self._count["rejected"], self._count["replay"]
        kept: list[str] = []
        if rejected:
            kept.append(f"{counted(rejected, 'row or line', 'rows or lines')} rejected: see {self._rejected.path}")
        if unsent:
            kept.append(f"{counted(unsent, 'row')} not sent: 'mailroom-send < {self._replay.path}' tries again")
        return "; ".join(kept)

    def reject(self, raw: Bytes, reason: str) -> None:
        """Keep bytes that are no row, or a row that is never to be sent."""
        self.reject_all([BadRow(raw, reason)])

    def reject_all(self, rows: Sequence[BadRow]) -> None:
        """Keep what is no row, or never to be sent; one log line for each reason."""
        for reason, count in Counter(row.reason for row in rows).items():
            log(f"rejecting {counted(count, 'row or line', 'rows or lines')}: {reason}", "warning")
        with self._lock:
            self._count["rejected"] += len(rows)
        self.reject_more(rows)

    def reject_more(self, rows: Sequence[BadRow]) -> None:
        """Keep further pieces of what was rejected before: neither counted nor logged."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entries: list[_Entry] = []
        for row in rows:
            told = {"time": now, "reason": row.reason}
            if len(row.raw) <= _LONGEST_PART:
                entries.append(_Entry(self._rejected, row.raw, told))
                continue
            parts = list(_parts(row.raw))
            entries += [
                _Entry(self._rejected, part, told | {"part": number, "parts": len(parts)})
                for number, part in enumerate(parts, 1)
            ]
        self._put(entries)

    def replay(self, rows: Sequence[Row], reason: str) -> None:
        """Keep rows that were not sent, one to a line."""
        log(f"writing {counted(len(rows), 'row')} to a replay file: {reason}", "warning")
        with self._lock:
            self._count["replay"] += len(rows)
        self._put([_Entry(self._replay, b"".join(row.raw + b"\n" for row in rows))])

    def _put(self, entries: Sequence[_Entry]) -> None:
        if not entries:
            return
        with self._lock:
            self._owed.extend(entries)
        self.flush()

    def flush(self) -> None:
        """Write what is owed, as far as the disk takes it; say it once when it does not."""
        with self._lock:
            try:
                while self._owed:
                    self._write_some()
            except OSError as error:
                complaint = f"{self._folder} can't be written: {error.strerror}"
                if complaint != self._complaint:
                    log(f"{complaint}; nothing more is read until it can", "error")
                self._complaint = complaint
            else:
                if self._complaint:
                    log(f"{self._folder} can be written again")
                self._complaint = ""

    def _write_some(self) -> None:
        """Write what comes next for one file, synced once. Raises OSError."""
        book, written, data = self._owed[0].book, 0, bytearray()
        for entry in self._owed:
            if entry.book is not book or len(data) >= _MOST_AT_ONCE:
                break
            data += entry.encode()
            written += 1
        book.write(bytes(data))
        for _ in range(written):
            self._owed.popleft()

    def response(self, action: MailAction, data: bytes, refusal: str) -> None:
        """Keep SES's raw error response, unless the same refusal was kept lately."""
        self._responses.keep(action.number, data, refusal)
