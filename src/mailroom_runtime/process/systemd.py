"""Sends the state of this program to the service manager, if one has set NOTIFY_SOCKET (sd_notify(3))."""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

_TIMEOUT: Final = 1.0  # seconds for the manager to accept a message, so that it can't delay this program


class Notifier:
    """Sends each state as one datagram."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path  # @: an abstract socket
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_TIMEOUT)
        self._sent: dict[str, str] = {}
        self.watchdog_interval = _watchdog(environ) if self._socket else None
        """The manager expects alive() at least once in so many seconds. None: it expects none."""

    def ready(self) -> None:
        """Report that the program is ready. The message is sent once."""
        self._send_change("READY", "1")

    def status(self, text: str) -> None:
        """Report in one line what the program does now, for people."""
        self._send_change("STATUS", text.replace("\n", " "))

    def stopping(self) -> None:
        """Report that the program is about to end. The message is sent once."""
        self._send_change("STOPPING", "1")

    def alive(self) -> None:
        """Report that the main loop is running."""
        self._send("WATCHDOG=1")

    def _send_change(self, name: str, value: str) -> None:
        if self._sent.get(name) != value:
            self._sent[name] = value
            self._send(f"{name}={value}")

    def _send(self, message: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode("utf-8", "replace"), self._address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Return WATCHDOG_USEC in seconds, if it is meant for this process or for its parent, the pipeline's shell."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or pid not in ("", str(os.getpid()), str(os.getppid())):
        return None
    return int(usec) / 1e6 or None
