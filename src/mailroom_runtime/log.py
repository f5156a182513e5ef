"""stderr: one line an event, as text or as JSON. Callers never hand over a secret, a code, a key or a password."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from mailroom_runtime.words import visible

Level = Literal["info", "warning", "error"]
"""error: no mail is sent, or the program ends, until a person acts. warning: something went wrong, and the program
deals with it."""

Field = str | float | Sequence[int] | None
"""What a field of an event may be; a time is a number with its unit in the field's name."""

_STDERR: Final = 2
_LONGEST: Final = 2000
"""Characters of one event. Longer text is cut, so that the text of others can't flood the log."""
_MOST_NUMBERS: Final = 200
"""Numbers in one field, for the same reason."""


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
        """Read here, so that errors in the settings are in this format too."""
        self.before: Callable[[], None] | None = None
        """Called before each line, to clear what else is on its terminal."""

    def __call__(self, text: str, level: Level = "info", *, event: str = "", **fields: Field) -> None:
        """Write one event, with its time in UTC. The program goes on if stderr can't be written to.

        `event` names the kind of event for programs, in snake_case. `fields` are its data, for JSON alone: the text
        says the same in words.
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
        # Escaped in JSON too, so that a terminal that shows the message obeys nothing in it.
        head = {"time": stamp, "level": level, "program": self._program, "event": event, "message": escape(text)}
        return json.dumps(head | {name: _harmless(value) for name, value in fields.items() if value is not None})


def _harmless(value: Field) -> Field:
    if isinstance(value, str):
        return escape(value)
    return value if isinstance(value, (int, float)) else list(value or [])[:_MOST_NUMBERS]
