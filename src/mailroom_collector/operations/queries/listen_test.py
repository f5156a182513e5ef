"""Do notifications arrive through this URL? A session listens, another one notifies; a pooler may drop either."""

import secrets
import time
from typing import Any, Final

import psycopg
from psycopg import sql

from mailroom_collector.operations.figures import ListenResult
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, connect, translated
from mailroom_runtime.postgres.url import DatabaseUrl

_PATIENCE: Final = 2.0  # seconds for an echo, which takes milliseconds


class ListenTest:
    """Calls, again and again, over a channel of its own: no collector wakes up for it."""

    def __init__(self, connection: psycopg.Connection[Any], url: DatabaseUrl | str) -> None:
        self._listener = connection
        self._url = url
        self._channel = f"mailroom_echo_{secrets.token_hex(8)}"
        self._listens = False

    def call(self) -> ListenResult:
        """Call once and wait for the echo. Raises nothing."""
        try:
            return self._call()
        except MailroomError as error:
            return ListenResult(None, problem=str(error))

    def _call(self) -> ListenResult:
        name = sql.Identifier(self._channel)
        payload = secrets.token_hex(8)
        with translated():
            if not self._listens:
                self._listener.execute(sql.SQL("LISTEN {}").format(name))
                self._listens = True
            with connect(self._url, OPERATOR, _PATIENCE) as caller:
                called = time.monotonic()
                caller.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))
                ends = called + _PATIENCE
                while (left := ends - time.monotonic()) > 0:
                    # One that is late from before has another payload.
                    for heard in self._listener.notifies(timeout=left, stop_after=1):
                        if heard.payload == payload:
                            return ListenResult(True, 1000 * (time.monotonic() - called))
        return ListenResult(False)
