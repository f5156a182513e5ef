"""The sender's session with the database: connects, checks the schema, and closes a connection that failed."""

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from mailroom_runtime.errors import ConnectionLost, MailroomError
from mailroom_runtime.postgres.connection import DeadlineConnection, connect, translated
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.input.action import LIST, KnownActions
from mailroom_sender.log import log

_NAME: Final = "mailroom-send"
"""The application_name of a sender's session."""


def read_actions_once(url: DatabaseUrl | str, known: KnownActions, answer_timeout: float) -> None:
    """Read the actions on a connection of its own. Log a failure. `answer_timeout` is in seconds."""
    try:
        with connect(url, _NAME, answer_timeout) as connection, translated():
            known.replace(connection.execute(LIST).fetchall())
    except MailroomError as error:
        log_unread_actions(error)


def log_unread_actions(error: MailroomError) -> None:
    """Log that the actions could not be read."""
    log(
        f"the actions can't be read from the database now: {error}; using those that are known, and trying again later",
        error.level,
        event="actions_not_read",
        reason=str(error),
    )


class DatabaseSession:
    """One connection at a time, for one thread at a time."""

    def __init__(
        self,
        url: DatabaseUrl | str,
        first_statement: tuple[str, tuple[Any, ...]],
        answer_timeout: float,
        known: KnownActions | None = None,
        check: Callable[[DeadlineConnection], None] | None = None,
    ) -> None:
        """Each new connection passes `check`, runs `first_statement`, and reads the actions into `known`.

        A statement may take `answer_timeout` seconds.
        """
        self._url = url
        self._first_statement = first_statement
        self._answer_timeout = answer_timeout
        self._known = known
        self._check = check
        self._was_open = False
        self.connection: DeadlineConnection | None = None

    def open(self) -> Any:
        """Connect, and return the value of first_statement. Raises Unavailable, OperatorNeeded or StatementRefused."""
        connection = connect(self._url, _NAME, self._answer_timeout)
        try:
            if self._check is not None:
                self._check(connection)
            with translated():
                row = connection.execute(*self._first_statement).fetchone()
                self._read_actions(connection)
        except MailroomError:
            connection.close()
            raise
        self.connection = connection
        self._was_open = True
        return row[0] if row else None

    @property
    def connected(self) -> DeadlineConnection:
        """Return the connection. Raises ConnectionLost when there is none."""
        if self.connection is None:
            raise ConnectionLost("not connected")
        return self.connection

    @property
    def is_idle(self) -> bool:
        """Return whether there is a connection without a statement in progress."""
        return self.connection is not None and self.connection.info.transaction_status is TransactionStatus.IDLE

    def execute(self, text: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run a statement, and return its rows. Raises MailroomError."""
        with translated():
            return self.connected.execute(text, parameters, binary=True).fetchall()

    def read_actions(self) -> None:
        """Read the actions again. Log a failure, and raise it. Raises MailroomError."""
        try:
            with translated():
                self._read_actions(self.connected, strict=True)
        except MailroomError as error:
            log_unread_actions(error)
            raise

    def _read_actions(self, connection: DeadlineConnection, *, strict: bool = False) -> None:
        if self._known is None:
            return
        try:
            self._known.replace(connection.execute(LIST).fetchall())
        except psycopg.Error as error:
            if strict or not self._was_open:
                raise
            # Mails of the known actions are still sent and settled.
            log(
                "the actions can't be read from the database any more; using those that are known",
                "warning",
                event="actions_not_read",
                reason=type(error).__name__,
            )

    def close(self) -> None:
        """Close the connection, if there is one. open() makes a new one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
