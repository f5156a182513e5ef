"""Writes stdout: a line with a JSON object for each answer, or in debug mode for each request, or text."""

import json
import os
import threading
from typing import Any

from mailroom_sender.log import log


class CallOutput:
    """Writes whole lines from any thread."""

    def __init__(self, fd: int, *, without: str = "mails are still sent, but answers are not printed any more") -> None:
        """`without` says what follows when stdout can't be written."""
        self._fd = fd
        self._without = without
        self._lock = threading.Lock()
        self.is_closed = False
        """Whether stdout could not be written."""

    def line(self, data: dict[str, Any]) -> None:
        """Print one object. If stdout can't be written, log that once."""
        self.text(json.dumps(data, separators=(",", ":")) + "\n")

    def text(self, text: str) -> None:
        """Print text that ends with a line break. Failures are handled like those of line()."""
        left = memoryview(text.encode())
        with self._lock:
            try:
                while left and not self.is_closed:
                    left = left[os.write(self._fd, left) :]
            except OSError as error:
                self.is_closed = True
                log(
                    f"stdout can't be written: {error.strerror}; {self._without}",
                    "warning",
                    event="stdout_not_writable",
                    reason=error.strerror,
                )
