"""stdout: one JSON object a line (the answer to a call; in debug mode its request), or in debug mode text."""

import json
import os
import threading
from typing import Any

from mailroom_sender.log import log


class CallOutput:
    """Writes whole lines from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._closed = False

    def line(self, data: dict[str, Any]) -> None:
        """Print one object. A stdout that can't be written is logged once, and mails still go."""
        self.text(json.dumps(data, separators=(",", ":")) + "\n")

    def text(self, text: str) -> None:
        """Print text, which ends with a line break, as line() does."""
        left = memoryview(text.encode())
        with self._lock:
            try:
                while left and not self._closed:
                    left = left[os.write(self._fd, left) :]
            except OSError as error:
                self._closed = True
                log(
                    f"stdout can't be written: {error.strerror}; mails still go, but answers are no longer printed",
                    "warning",
                    event="stdout_not_writable",
                    reason=error.strerror,
                )
