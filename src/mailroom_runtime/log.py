"""Writes one line for each event to stderr, as text or as JSON. Callers pass no secrets, codes, keys or passwords."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from mailroom_runtime.words import visible

Level = Literal["info", "warning", "error"]
"""error: only a person can help; until then no mail is sent, or the program ends.
warning: something went wrong, and the program deals with it."""

Field = str | float | Sequence[int] | None
"""The value of an event's field. A duration is a number, and the name of its field ends with the unit."""

_STDERR: Final = 2
_LONGEST: Final = 2000
"""The largest number of characters in one event. Longer text is cut, so that foreign text can't flood the log."""
_LARGEST_NUMBERS: Final = 200
"""The largest number of numbers in one field, for the same reason."""


def escape(text: str) -> str:
    """Cut the text, and replace control, format and line-breaking characters by escapes: one event stays one line."""
    return visible(text[:_LONGEST])


class Log:
    """Writes events. Any thread may call it."""

    def __init__(self, program: str, tag: str) -> None:
        """`program` names the events' source in JSON, `tag` in text."""
        self._program = program
        self._tag = tag
        self.as_json = os.environ.get("MAILROOM_LOG_FORMAT") == "json"
        """Set before the options are read, so that errors in the options have this format too."""
        self.before: Callable[[], None] | None = None
        """Called before each line: it removes a progress bar from the terminal."""

    def __call__(self, text: str, level: Level = "info", *, event: str = "", **fields: Field) -> None:
        """Write one event, with its time in UTC. If stderr can't be written, the program continues without the line.

        `event` is the name of the event for programs, in snake_case. `fields` are its data, and only JSON shows them:
        `text` says the same in words.
        """
        line = self._json(text, level, event, fields) if self.as_json else self._text(text)
        if self.before is not None:
            self.before()
        with contextlib.suppress(OSError):
            os.write(_STDERR, line.encode() + b"\n")

    def _text(self, text: str) -> str:
        return f"{time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())} [{self._tag}] {escape(text)}"

    def _json(self, text: str, level: Level, event: str, fields: dict[str, Field]) -> str:
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now // 10**6 % 1000:03d}Z"
        # Escaped in JSON too: somebody may show the message on a terminal, which must not obey characters in it.
        head = {"time": stamp, "level": level, "program": self._program, "event": event, "message": escape(text)}
        return json.dumps(head | {name: _harmless(value) for name, value in fields.items() if value is not None})


def _harmless(value: Field) -> Field:
    if isinstance(value, str):
        return escape(value)
    return value if isinstance(value, (int, float)) else list(value or [])[:_LARGEST_NUMBERS]
