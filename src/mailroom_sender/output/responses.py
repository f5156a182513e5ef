"""SES's responses to calls that it refused, as files: each refusal once in a while, and the newest of all."""

import os
import re
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from mailroom_sender.log import log

MOST: Final = 200
"""Files that are kept. One has a few hundred bytes, and at most a mebibyte."""
OLDEST: Final = 30 * 86_400
"""Seconds for which one is kept."""
_AGAIN: Final = 600.0  # seconds until the same refusal is kept again
_MOST_REFUSALS: Final = 256  # that are remembered
_TOLD_AGAIN: Final = 3600.0  # seconds until it is said again that files are deleted
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_NAME = re.compile(r"ses_\d{8}T\d{6}\.\d{6}Z_\d+(?:-\d+)?\.http", re.ASCII)


def stamp(before: int = 0) -> str:
    """Return the time, or that of some seconds ago, as it stands in files' names: they sort by it."""
    now = time.time_ns() - before * 10**9
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9)) + f".{now // 1000 % 10**6:06d}Z"


def create(folder: Path, name: str, ending: str) -> tuple[int, Path]:
    """Open a file that did not exist; a second one of the same microsecond gets a number. Raises OSError."""
    number = 0
    while True:
        path = folder / f"{name}{f'-{number}' if number else ''}{ending}"
        try:
            return os.open(path, _NEW, 0o600), path
        except FileExistsError:
            number += 1


class ResponseFiles:
    """Callable from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept_at: OrderedDict[tuple[str, str], float] = OrderedDict()  # by action and refusal; monotonic
        self._deleted = 0
        self._told_at = float("-inf")

    def keep(self, action: str, data: bytes, refusal: str) -> None:
        """Write a response to a file, unless the same refusal was lately; not being able to is logged, and no more."""
        with self._lock:
            if not self._is_new((action, refusal)):
                return
            try:
                fd, _ = create(self._folder, f"ses_{stamp()}_{action}", ".http")
                try:
                    os.write(fd, data)
                finally:
                    os.close(fd)
                self._remember((action, refusal))
                self._delete_old()
            except OSError as error:
                log(f"SES's response can't be kept in {self._folder}: {error.strerror}", "warning")

    def _is_new(self, refusal: tuple[str, str]) -> bool:
        return time.monotonic() >= self._kept_at.get(refusal, float("-inf")) + _AGAIN

    def _remember(self, refusal: tuple[str, str]) -> None:
        self._kept_at[refusal] = time.monotonic()
        self._kept_at.move_to_end(refusal)
        if len(self._kept_at) > _MOST_REFUSALS:
            self._kept_at.popitem(last=False)

    def _delete_old(self) -> None:
        """Delete the oldest files of too many, and those that are too old; no other file. Raises OSError."""
        names = sorted(file.name for file in self._folder.iterdir() if _NAME.fullmatch(file.name))
        oldest = f"ses_{stamp(OLDEST)}"
        old = [name for place, name in enumerate(names) if place < len(names) - MOST or name < oldest]
        for name in old:
            (self._folder / name).unlink(missing_ok=True)
        self._deleted += len(old)
        if self._deleted and time.monotonic() >= self._told_at + _TOLD_AGAIN:
            log(
                f"{self._deleted} old responses of SES were deleted in {self._folder}: the newest {MOST} of the last"
                f" {OLDEST // 86_400} days are kept"
            )
            self._told_at, self._deleted = time.monotonic(), 0
