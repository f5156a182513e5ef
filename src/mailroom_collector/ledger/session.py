"""The session with the ledger: connects, connects again after a loss, and opens a second connection for a backlog."""

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
    """Where the ledger is, and in which name it is asked."""

    url: DatabaseUrl | str
    channels: tuple[str, ...]
    queue: str
    holder: str
    lease_ms: int
    answer_timeout: float
    """Seconds that the database may take to answer."""

    def listen(self) -> CollectorLedger:
        """Connect and LISTEN. Raises like ledger.connection.listen()."""
        return self._ledger(listen(self.url, self.channels, self.queue, self.answer_timeout, on_notice=_log_notice))

    def connect(self) -> CollectorLedger:
        """Connect without LISTEN. Raises like postgres.connection.connect()."""
        return self._ledger(ListeningConnection(connect(self.url, NAME, self.answer_timeout)))

    def _ledger(self, link: ListeningConnection) -> CollectorLedger:
        return CollectorLedger(link, self.queue, self.holder, self.lease_ms)


class LedgerSession:
    """The ledger while there is a connection, and when to connect again (monotonic seconds)."""

    def __init__(
        self,
        address: LedgerAddress,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ledger: CollectorLedger | None = None
        self.second: CollectorLedger | None = None
        """Records what the reader took, while the first connection claims."""
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
        """Note that a claim succeeded. A connection that opens may still be of no use, so it is not noted before."""
        self._has_worked = True
        self._backoff.succeeded()

    def lost(self, error: MailroomError) -> None:
        """Close, and connect again later. Raises the error when only a person can help and nothing worked before."""
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
        """Connect once more. Without a second connection the first one does its work, and a backlog takes longer."""
        try:
            self.second = self._address.connect()
        except MailroomError as error:
            _log_second(f"the second connection can't be opened: {error}", error)

    def lost_second(self, error: MailroomError) -> None:
        """Do without the second connection from now on."""
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
        f"{text}; the first one does its work, and the backlog takes longer",
        error.level,
        event="second_connection_unavailable",
        reason=error.message,
        hint=error.hint or None,
    )
