"""stderr: one line an event. Callers never hand over a secret, a code, a key or a password."""

import contextlib
import os
import time

_STDERR = 2
_LONGEST = 2000
"""Characters of one event; what is longer is cut, so that nobody can flood the log."""


def escape(text: str) -> str:
    """Make control, format and line-breaking characters visible, so that one event stays one line."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text[:_LONGEST]
    )


def log(text: str) -> None:
    """Write one event, stamped in UTC. A stderr that can't be written to is no reason to stop."""
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{stamp} [PG] {escape(text)}\n".encode())
