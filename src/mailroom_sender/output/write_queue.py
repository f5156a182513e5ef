"""Keeps entries for files in memory until the disk accepts them."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mailroom_sender.log import log
from mailroom_sender.output.growing_file import GrowingFile

_MOST_AT_ONCE: Final = 1 << 18  # bytes that are written before a sync; one entry more may be added


class Entry(Protocol):
    """An entry for a file."""

    def encode(self) -> bytes:
        """Return the bytes to write."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    file: GrowingFile
    entry: Entry


class WriteQueue:
    """Writes entries in order. Callable from any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the files. The log names it when it can't be written."""
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._logged_failure = ""

    def __len__(self) -> int:
        """Return the number of entries that are not written yet."""
        return len(self._waiting)

    def put(self, file: GrowingFile, entries: Sequence[Entry]) -> None:
        """Add entries for a file, and write as many as the disk accepts."""
        if not entries:
            return
        with self._lock:
            self._waiting.extend(_Waiting(file, entry) for entry in entries)
        self.flush()

    def flush(self) -> None:
        """Write as many waiting entries as the disk accepts. Log a failure once."""
        with self._lock:
            try:
                while self._waiting:
                    self._write_some()
            except OSError as error:
                self._log_failure(error.strerror or type(error).__name__)
            else:
                if self._logged_failure:
                    log(f"{self._folder} can be written again", event="folder_writable", folder=str(self._folder))
                self._logged_failure = ""

    def _log_failure(self, reason: str) -> None:
        if reason != self._logged_failure:
            log(
                f"{self._folder} can't be written: {reason}; no more input is read until it can be written; free some"
                " space, or allow this user to write there",
                "error",
                event="folder_not_writable",
                folder=str(self._folder),
                reason=reason,
            )
        self._logged_failure = reason

    def _write_some(self) -> None:
        """Write the next entries of one file, and sync once. Raises OSError."""
        file, written, data = self._waiting[0].file, 0, bytearray()
        for one in self._waiting:
            if one.file is not file or len(data) >= _MOST_AT_ONCE:
                break
            data += one.entry.encode()
            written += 1
        file.write(bytes(data))
        for _ in range(written):
            self._waiting.popleft()
