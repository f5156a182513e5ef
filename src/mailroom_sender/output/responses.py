"""Writes SES's responses to refused calls to files: the same refusal only now and then. It deletes old files.

`ses_<UTC time>_<action's number>.http`, with mode 0600.
"""

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mailroom_sender.log import log
from mailroom_sender.output.new_file import create, stamp

MOST: Final = 200
"""The number of files that are kept. A file has a few hundred bytes, and at most 1 MiB."""
OLDEST: Final = 30 * 86_400
"""Seconds for which a file is kept."""
_AGAIN: Final = 600.0  # seconds until the same refusal is written again
_MOST_REFUSALS: Final = 256  # the number of refusals that are remembered
_LOG_AGAIN: Final = 3600.0  # seconds until deleted files are logged again
_NAME = re.compile(r"ses_\d{8}T\d{6}\.\d{6}Z_\d+(?:-\d+)?\.http", re.ASCII)


class ResponseFiles:
    """Callable from any thread."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._kept_at: OrderedDict[tuple[str, str], float] = OrderedDict()  # by action and refusal
        self._deleted = 0
        self._logged_at = float("-inf")

    def keep(self, action: str, data: bytes, refusal: str) -> None:
        """Write a response to a file, unless the same refusal was written recently. A failure is only logged."""
        with self._lock:
            if not self._is_new((action, refusal)):
                return
            try:
                self._write(action, data)
                self._remember((action, refusal))
                self._delete_old()
            except OSError as error:
                log(
                    f"a response of SES can't be written to {self._folder}: {error.strerror}; mails are still sent",
                    "warning",
                    event="response_not_kept",
                    folder=str(self._folder),
                    reason=error.strerror,
                )

    def _write(self, action: str, data: bytes) -> None:
        fd, _ = create(self._folder, f"ses_{stamp()}_{action}", ".http")
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def _is_new(self, refusal: tuple[str, str]) -> bool:
        return self._clock() >= self._kept_at.get(refusal, float("-inf")) + _AGAIN

    def _remember(self, refusal: tuple[str, str]) -> None:
        self._kept_at[refusal] = self._clock()
        self._kept_at.move_to_end(refusal)
        if len(self._kept_at) > _MOST_REFUSALS:
            self._kept_at.popitem(last=False)

    def _delete_old(self) -> None:
        """Delete the oldest files if there are too many, and files that are too old. Raises OSError."""
        names = sorted(file.name for file in self._folder.iterdir() if _NAME.fullmatch(file.name))
        oldest = f"ses_{stamp(OLDEST)}"
        old = [name for place, name in enumerate(names) if place < len(names) - MOST or name < oldest]
        for name in old:
            (self._folder / name).unlink(missing_ok=True)
        self._deleted += len(old)
        if self._deleted and self._clock() >= self._logged_at + _LOG_AGAIN:
            log(
                f"{self._deleted} old responses of SES were deleted in {self._folder}: the newest {MOST} of the last"
                f" {OLDEST // 86_400} days are kept",
                event="responses_deleted",
                folder=str(self._folder),
                count=self._deleted,
            )
            self._logged_at, self._deleted = self._clock(), 0
