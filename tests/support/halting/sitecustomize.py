"""Signals a process to itself at one of its I/O steps, before or after it. For tests: on PYTHONPATH, Python imports
this in every process.

HALT_PROGRAM  which console script
HALT_AT       the step and which one of its name, from 1, such as "before call 1"; empty for none
HALT_SIGNAL   number of the signal
HALT_LOG      file to which the steps are written, a line each
"""

import functools
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

_real_write = os.write
_STEP = re.compile(r"mailroom_(\w+)\(|(LISTEN)|(to_regclass)|(pg_notify)|(enumlabel)")


class _Halt:
    def __init__(self) -> None:
        self._at = os.environ["HALT_AT"]
        self._signal = int(os.environ["HALT_SIGNAL"])
        self._log = os.open(os.environ["HALT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
            step = f"{name} {self._counts[name]}"
            _real_write(self._log, f"{step}\n".encode())
            if step == self._at:
                os.kill(os.getpid(), self._signal)

    def around(self, function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        @functools.wraps(function)
        def halting(*args: Any, **kwargs: Any) -> Any:
            what = name(*args)
            if not what:
                return function(*args, **kwargs)
            self.step(f"before {what}")
            try:
                return function(*args, **kwargs)
            finally:
                self.step(f"after {what}")

        return halting


def _statement(_connection: object, query: object, *_: object) -> str:
    found = _STEP.search(query.decode() if isinstance(query, bytes) else str(query))
    return next(filter(None, found.groups()), "") if found else ""


def _install() -> None:
    import psycopg  # noqa: PLC0415 - slow, and each Python of the tests runs this file
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    halt = _Halt()
    psycopg.Connection.execute = halt.around(psycopg.Connection.execute, _statement)  # type: ignore[method-assign]
    connect = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]
    psycopg.Connection.connect = classmethod(halt.around(connect, lambda *_: "connect"))  # type: ignore[method-assign,assignment]
    URLLib3Session.send = halt.around(URLLib3Session.send, lambda *_: "call")  # type: ignore[method-assign]
    os.read = halt.around(os.read, lambda fd, *_: "read" if fd == 0 else "")
    os.write = halt.around(os.write, lambda fd, *_: "" if fd == 2 else "write")
    os.close = halt.around(os.close, lambda fd, *_: "close" if fd == 1 else "")


if any(word.endswith("/" + os.environ.get("HALT_PROGRAM", "-")) for word in sys.orig_argv):
    _install()
