"""A TCP proxy that cuts, delays, stalls, or drops notifications, as networks and poolers do."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_NOTIFICATION = b"A"  # NotificationResponse (PostgreSQL, 55.7)


@dataclass
class Proxy:
    """How the proxy changes the bytes. Changes take effect at once, on all connections."""

    target: Callable[[], socket.socket]
    drops_notifications: bool = False
    delay: float = 0.0  # seconds for each piece that passes
    port: int = 0
    _open: threading.Event = field(default_factory=threading.Event)
    _sockets: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def stall(self) -> None:
        """Let nothing pass any more; the peers' packets are still acknowledged."""
        self._open.clear()

    def resume(self) -> None:
        """Let everything pass again, including what was held back."""
        self._open.set()

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            cut = list(self._sockets)
        for connection in cut:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self, listener: socket.socket) -> None:
        """Accept until the listener is shut down."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self.target()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            for read, write, parse in ((client, server, False), (server, client, self.drops_notifications)):
                threading.Thread(target=self._pump, args=(read, write, parse), daemon=True).start()

    def _pump(self, read: socket.socket, write: socket.socket, parse: bool) -> None:
        keep = _without_notifications if parse else iter
        try:
            for data in keep(_pieces(read)):
                if self.delay:
                    time.sleep(self.delay)
                self._open.wait()
                write.sendall(data)
        except OSError:
            pass
        finally:
            for one in (read, write):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._sockets.discard(read)
            read.close()


def _pieces(read: socket.socket) -> Iterator[bytes]:
    while data := read.recv(1 << 16):
        yield data


def _without_notifications(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Split a server's stream into messages (a type, and a length that counts itself), and leave notifications out."""
    held = b""
    for piece in pieces:
        held += piece
        passed = b""
        while len(held) >= 5 and len(held) >= (end := 1 + int.from_bytes(held[1:5], "big")):
            if held[:1] != _NOTIFICATION:
                passed += held[:end]
            held = held[end:]
        if passed:
            yield passed


@contextlib.contextmanager
def running_proxy(target: Callable[[], socket.socket], *, drops_notifications: bool = False) -> Iterator[Proxy]:
    """Serve on a free port of the loopback interface."""
    proxy = Proxy(target, drops_notifications)
    proxy.resume()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            proxy.resume()
            proxy.cut()


def postgres_target(folder: Path) -> Callable[[], socket.socket]:
    """Return a function that connects to the server whose socket is in the folder."""

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(folder / ".s.PGSQL.5432"))
        except OSError:
            connection.close()
            raise
        return connection

    return connect


def tcp_target(port: int) -> Callable[[], socket.socket]:
    """Return a function that connects to a port of the loopback interface."""
    return lambda: socket.create_connection(("127.0.0.1", port))
