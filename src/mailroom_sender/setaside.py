"""What could not be read or sent, and SES's errors: to files, before anything is forgotten.

`rejected_<UTC time>_<pid>.jsonl`   one JSON object for each bad line or row: time, reason, row
`replay_<UTC time>_<pid>.csv`       rows in the wire format: `mailroom-send < FILE` sends them
`ses_<UTC time>_<action>.http`      SES's response to a call that it refused

All have mode 0600 (they hold secrets), none is ever overwritten, the first two are synced.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mailroom_runtime.errors import SettingError
from mailroom_runtime.words import counted
from mailroom_sender.actions import Action
from mailroom_sender.log import log
from mailroom_sender.rows import Row

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


def _stamp() -> str:
    now = time.time_ns()
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9)) + f".{now // 1000 % 10**6:06d}Z"


def _create(folder: Path, name: str, ending: str) -> int:
    """Open a file that did not exist; a second one of the same microsecond gets a number."""
    number = 0
    while True:
        try:
            return os.open(folder / f"{name}{f'-{number}' if number else ''}{ending}", _NEW, 0o600)
        except FileExistsError:
            number += 1


@dataclass(slots=True)
class _Book:
    """One file that grows; made when the first entry comes."""

    folder: Path
    name: str
    ending: str
    fd: int | None = field(default=None)

    def write(self, data: bytes) -> None:
        """Append and sync, all or nothing. Raises OSError."""
        if self.fd is None:
            self.fd = _create(self.folder, f"{self.name}_{_stamp()}_{os.getpid()}", self.ending)
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


class SetAside:
    """Writes from any thread; what the disk does not take is kept, and owed, until it does."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be. Raises SettingError when nothing can be written there."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"MAILROOM_SES_OUTPUT_PATH: {folder} can't be made: {error.strerror}", "give a folder that can"
            ) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {folder} is not writable", "give a folder that is")
        self._folder = folder
        self._rejected = _Book(folder, "rejected", ".jsonl")
        self._replay = _Book(folder, "replay", ".csv")
        self._lock = threading.Lock()
        self._owed: deque[tuple[_Book, bytes]] = deque()
        self._complaint = ""

    @property
    def owes(self) -> int:
        """Return how many entries the disk has not taken yet."""
        return len(self._owed)

    def reject(self, raw: bytes, reason: str) -> None:
        """Keep bytes that are no row, or a row that is never to be sent."""
        log(f"rejected: {reason}", "warning")
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "reason": reason}
        try:
            entry["row"] = raw.decode()
        except UnicodeDecodeError:
            entry["row_hex"] = raw.hex()
        self._put(self._rejected, json.dumps(entry).encode() + b"\n")

    def replay(self, rows: Sequence[Row], reason: str) -> None:
        """Keep rows that were not sent, one to a line."""
        log(f"writing {counted(len(rows), 'row')} to a replay file: {reason}", "warning")
        self._put(self._replay, b"".join(row.raw + b"\n" for row in rows))

    def _put(self, book: _Book, data: bytes) -> None:
        with self._lock:
            self._owed.append((book, data))
        self.flush()

    def flush(self) -> None:
        """Write what is owed, as far as the disk takes it; say it once when it does not."""
        with self._lock:
            try:
                while self._owed:
                    book, data = self._owed[0]
                    book.write(data)
                    self._owed.popleft()
            except OSError as error:
                complaint = f"{self._folder} can't be written: {error.strerror}"
                if complaint != self._complaint:
                    log(f"{complaint}; nothing more is read until it can", "error")
                self._complaint = complaint
            else:
                if self._complaint:
                    log(f"{self._folder} can be written again")
                self._complaint = ""

    def response(self, action: Action, data: bytes) -> None:
        """Keep SES's raw error response; not being able to is logged, and no more."""
        try:
            fd = _create(self._folder, f"ses_{_stamp()}_{action.number}", ".http")
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            log(f"SES's response can't be kept in {self._folder}: {error.strerror}", "warning")
