"""An HTTP endpoint that answers with the bytes that a test chooses, as slowly as it chooses."""

import contextlib
import io
import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], None]


@dataclass
class RawEndpoint:
    """The answer to each request, and the numbers of connections and requests."""

    url: str
    answer: Answer
    connections: int = 0
    requests: int = 0
    open: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Accept until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                self.open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError), connection.makefile("rb") as requests:
            while (head := _head(requests)) and (length := re.search(rb"(?i)content-length: *(\d+)", head)):
                requests.read(int(length[1]))
                self.requests += 1
                self.answer(connection)


def _head(requests: io.BufferedReader) -> bytes:
    lines = iter(requests.readline, b"")
    return b"".join(itertools.takewhile(lambda line: line != b"\r\n", lines))


@contextlib.contextmanager
def running_raw_endpoint(answer: Answer) -> Iterator[RawEndpoint]:
    """Serve on a free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = RawEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", answer)
        thread = threading.Thread(target=endpoint.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in endpoint.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def trickling(head: bytes, piece: bytes) -> Answer:
    """Return an answer that sends the head, and then a piece every 50 ms for ever."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        pause = threading.Event()
        while not pause.wait(0.05):
            connection.sendall(piece)

    return answer


def endless(head: bytes) -> Answer:
    """Return an answer that sends the head, and then bytes for ever."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x" * 65536)

    return answer


def whole(body: bytes) -> Answer:
    """Return an answer with 200 and the body, which keeps the connection."""
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return lambda connection: connection.sendall(data)
