"""The session with the ledger. It connects again after a loss, and opens a second connection during a backlog."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mailroom_collector.ledger.connection import NAME, ListeningConnection, listen
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_runtime.backoff import Backoff
from mailroom_runtime.errors import MailroomError, Unavailable
from mailroom_runtime.postgres.connection import connect
from mailroom_runtime.postgres.url import DatabaseUrl

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_CAP: Final = 30.0
"""Seconds between tries to connect."""


@dataclass(frozen=True, slots=True)
class LedgerAddress:
    """The database and queue of the ledger, and the name under which this process holds rows."""

    url: DatabaseUrl | str
    channels: tuple[str, ...]
    queue: str
    holder: str
    lease_ms: int
    answer_timeout: float
    """Seconds for each answer of the database."""

    def listen(self) -> CollectorLedger:
        """Connect and LISTEN. Raises like ledger.connection.listen()."""
        return self._ledger(listen(self.url, self.channels, self.queue, self.answer_timeout, on_notice=_log_notice))

    def connect(self) -> CollectorLedger:
        """Connect without LISTEN. Raises like postgres.connection.connect()."""
        return self._ledger(ListeningConnection(connect(self.url, NAME, self.answer_timeout)))

    def _ledger(self, link: ListeningConnection) -> CollectorLedger:
        return CollectorLedger(link, self.queue, self.holder, self.lease_ms)


class LedgerSession:
    """The ledger while there is a connection, and the time of the next try to connect. Times are monotonic seconds."""

    def __init__(
        self,
        address: LedgerAddress,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ledger: CollectorLedger | None = None
        self.second: CollectorLedger | None = None
        """A second connection: it records what was read, while the first connection claims."""
        self.connect_at = 0.0
        self._address = address
        self._clock = clock
        self._chance = chance
        self._backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_CAP)
        self._has_worked = False

    def connect(self) -> CollectorLedger:
        """Connect and LISTEN. Raises like ledger.connection.listen()."""
        self.ledger = self._address.listen()
        channels, queue = self._address.channels, self._address.queue
        log(
            f"listening on {' and '.join(channels)}, queue {queue}",
            event="listening",
            channels=" ".join(channels),
            queue=queue,
            holder=self._address.holder,
        )
        return self.ledger

    def worked(self) -> None:
        """Note that a claim succeeded. Before that, even an open connection may be of no use."""
        self._has_worked = True
        self._backoff.succeeded()

    def lost(self, error: MailroomError) -> None:
        """Close, to connect again later. Raises the error if only a person can help and no claim has succeeded yet."""
        if not (self._has_worked or isinstance(error, Unavailable)):
            raise error
        self.close()
        wait = self._backoff.failed(self._chance())
        self.connect_at = self._clock() + wait
        log(
            f"{error}; trying again in {wait:.1f} s",
            error.level,
            event="database_unavailable",
            reason=error.message,
            hint=error.hint or None,
            retry_in_s=round(wait, 3),
        )

    def open_second(self) -> None:
        """Open the second connection. Without it the first one does all the work, and a backlog takes longer."""
        try:
            self.second = self._address.connect()
        except MailroomError as error:
            _log_second(f"the second connection can't be opened: {error}", error)

    def lost_second(self, error: MailroomError) -> None:
        """Log the loss of the second connection, and continue without it."""
        _log_second(f"the second connection failed: {error}", error)
        self.close_second()

    def close_second(self) -> None:
        """Close the second connection, if there is one."""
        if self.second is not None:
            self.second.link.close()
            self.second = None

    def close(self) -> None:
        """Close both connections."""
        self.close_second()
        if self.ledger is not None:
            self.ledger.link.close()
            self.ledger = None


def _log_notice(text: str) -> None:
    log(text, event="database_notice")


def _log_second(text: str, error: MailroomError) -> None:
    log(
        f"{text}; the first connection does all the work, so the backlog takes longer",
        error.level,
        event="second_connection_unavailable",
        reason=error.message,
        hint=error.hint or None,
    )
