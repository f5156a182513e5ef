"""Tells the service manager that set NOTIFY_SOCKET how this program fares (sd_notify(3)); without one, nothing."""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

_PATIENCE: Final = 1.0  # seconds that a manager may take to take a message: it must not hold this program up


class Notifier:
    """Sends each state as one datagram."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path  # @: an abstract socket
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_PATIENCE)
        self._told: dict[str, str] = {}
        self.patience = _watchdog(environ) if self._socket else None
        """Seconds within which the manager wants to hear alive(), again and again; None: it does not."""

    def ready(self) -> None:
        """The program does what it is for; said once."""
        self._tell_news("READY", "1")

    def status(self, text: str) -> None:
        """Tell people what the program is at, in one line."""
        self._tell_news("STATUS", text.replace("\n", " "))

    def stopping(self) -> None:
        """The program is about to end; said once."""
        self._tell_news("STOPPING", "1")

    def alive(self) -> None:
        """The main loop turns."""
        self._send("WATCHDOG=1")

    def _tell_news(self, name: str, value: str) -> None:
        if self._told.get(name) != value:
            self._told[name] = value
            self._send(f"{name}={value}")

    def _send(self, message: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode("utf-8", "replace"), self._address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Return WATCHDOG_USEC in seconds, if it is for this process or for the shell whose pipeline it is a part of."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or pid not in ("", str(os.getpid()), str(os.getppid())):
        return None
    return int(usec) / 1e6 or None
