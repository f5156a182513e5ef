"""Tests whether notifications arrive through this URL. One session listens, another session notifies.

Behind a pooler in transaction mode they do not arrive: between transactions it gives the connection to other clients.
"""

import secrets
import time
from typing import Any, Final

import psycopg
from psycopg import sql

from mailroom_collector.operations.figures import ListenResult
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, connect, translated
from mailroom_runtime.postgres.url import DatabaseUrl

_TIMEOUT: Final = 2.0  # seconds for a notification, which takes milliseconds


class ListenTest:
    """Makes the test again and again. It uses a channel of its own, so that no collector wakes up."""

    def __init__(self, connection: psycopg.Connection[Any], url: DatabaseUrl | str, timeout: float = _TIMEOUT) -> None:
        """`connection` listens; each test opens another one by `url`. `timeout`: seconds for a notification."""
        self._listener = connection
        self._url = url
        self._timeout = timeout
        self._channel = f"mailroom_echo_{secrets.token_hex(8)}"
        self._listens = False

    def run(self) -> ListenResult:
        """Notify, and wait for the notification. Never raises MailroomError."""
        try:
            return self._run()
        except MailroomError as error:
            return ListenResult(None, problem=str(error))

    def _run(self) -> ListenResult:
        payload = secrets.token_hex(8)
        with translated():
            self._listen()
            with connect(self._url, OPERATOR, self._timeout) as notifier:
                began = time.monotonic()
                notifier.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))
                if self._arrives(payload, began + self._timeout):
                    return ListenResult(True, 1000 * (time.monotonic() - began))
        return ListenResult(False)

    def _listen(self) -> None:
        if not self._listens:
            self._listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._listens = True

    def _arrives(self, payload: str, until: float) -> bool:
        """Wait for this payload. A late notification of an earlier test has another payload."""
        while (left := until - time.monotonic()) > 0:
            for notification in self._listener.notifies(timeout=left, stop_after=1):
                if notification.payload == payload:
                    return True
        return False
