"""Tries again and again to get the locks of a migration, and names the sessions that hold them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from psycopg import errors

from mailroom_collector.schema.catalog import Holder
from mailroom_collector.schema.session import Session
from mailroom_runtime.errors import MailroomError

_NAMED: Final = 3
"""The number of sessions that a message names."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LockTries:
    """The number of tries, and the time of each. Times are in seconds."""

    lock_timeout: float = 3.0
    """For all locks of one try. A sign-up waits behind a try for no longer."""
    pause: float = 2.0
    """The pause between two tries."""
    tries: int = 10
    migration_tries: int = 60
    """The tries while another migration runs. No sign-up waits behind these."""


LOCK_TRIES: Final = LockTries()


@dataclass(frozen=True, slots=True)
class LockWait:
    """A try that did not get its locks."""

    step: str
    wanted: str
    holders: Sequence[Holder]
    tries: int
    most_tries: int
    pause_s: float

    @property
    def blocked(self) -> str:
        """Return which step waits, for which lock, and which sessions hold it."""
        who = ", ".join(self.holder_names) or "short transactions, one after another"
        if len(self.holders) > _NAMED:
            who += f" and {len(self.holders) - _NAMED} more"
        return f"{self.step} waits for {self.wanted}, which others have: {who}"

    @property
    def holder_names(self) -> list[str]:
        """Return the names of the sessions that have held a lock longest."""
        return [holder.name for holder in self.holders[:_NAMED]]

    def __str__(self) -> str:
        """Return the wait as a line of the log."""
        again = f"next try in {self.pause_s:.0f} s ({self.tries} of {self.most_tries})"
        return f"{self.blocked}; nobody waits behind it now; {again}"

    def given_up(self) -> MailroomError:
        """Return the error after the last try."""
        way_out = f"end it ({self.holders[0].way_out}), or " if self.holders else ""
        return MailroomError(f"{self.blocked}; given up after {self.tries} tries", f"{way_out}run it again later")


def with_locks(
    session: Session, step: str, attempt: Callable[[], T], lock_tries: LockTries, warn: Callable[[LockWait], None]
) -> T:
    """Call `attempt` until it gets its locks, and return its result. `warn` is called before each pause.

    Raises MailroomError after the last try, with the sessions that hold the locks.
    """
    tries = 0
    while True:
        try:
            return attempt()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            tries += 1
        most = lock_tries.migration_tries if session.waits_for_migration else lock_tries.tries
        wait = LockWait(step, session.wanted, session.holders(), tries, most, lock_tries.pause)
        if tries >= most:
            raise wait.given_up()
        warn(wait)
        time.sleep(lock_tries.pause)
