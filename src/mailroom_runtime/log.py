"""stderr: one line an event, as text or as JSON. Callers never hand over a secret, a code, a key or a password."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Final, Literal

from mailroom_runtime.words import visible

Level = Literal["info", "warning", "error"]
"""error: mails stand still, or the program ends, until a person acts; warning: what went wrong is dealt with."""

_STDERR: Final = 2
_LONGEST: Final = 2000
"""Characters of one event; what is longer is cut, so that nobody can flood the log."""


def escape(text: str) -> str:
    """Make control, format and line-breaking characters visible, so that one event stays one line."""
    return visible(text[:_LONGEST])


class Log:
    """Writes events; callable from any thread."""

    def __init__(self, program: str, tag: str) -> None:
        """`program` names the events' source in JSON, `tag` in text."""
        self._program = program
        self._tag = tag
        self.as_json = os.environ.get("MAILROOM_LOG_FORMAT") == "json"
        """Already so for what is wrong with the settings."""
        self.before: Callable[[], None] | None = None
        """Called before each line, to clear what else stands on its terminal."""

    def __call__(self, text: str, level: Level = "info") -> None:
        """Write one event, stamped in UTC. A stderr that can't be written to is no reason to stop."""
        line = self._json(text, level) if self.as_json else self._text(text)
        if self.before is not None:
            self.before()
        with contextlib.suppress(OSError):
            os.write(_STDERR, line.encode() + b"\n")

    def _text(self, text: str) -> str:
        return f"{time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())} [{self._tag}] {escape(text)}"

    def _json(self, text: str, level: Level) -> str:
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now // 10**6 % 1000:03d}Z"
        # Escaped all the same: who prints the message on a terminal must not be harmed by it.
        return json.dumps({"time": stamp, "level": level, "program": self._program, "message": escape(text)})
