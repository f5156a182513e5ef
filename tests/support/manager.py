"""The service manager's side of sd_notify."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path


class Manager:
    """Receives what programs send to NOTIFY_SOCKET."""

    def __init__(self, taker: socket.socket, path: str) -> None:
        self.path = path
        self._taker = taker
        self.messages: list[str] = []

    def received(self, message: str) -> int:
        """Return how many messages with this beginning have come so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self._taker.recv(4096).decode())
        return sum(one.startswith(message) for one in self.messages)


@contextlib.contextmanager
def managing(path: Path | str) -> Iterator[Manager]:
    """Listen on a path, or with @ on an abstract socket."""
    name = str(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.setblocking(False)
        taker.bind("\0" + name[1:] if name.startswith("@") else name)
        yield Manager(taker, name)
