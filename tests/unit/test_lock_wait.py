"""The messages of a migration that waits for locks, character by character."""

import pytest

from mailroom_collector.schema.catalog import Holder
from mailroom_collector.schema.lock_wait import LockWait

HOLDERS = [Holder(f"pid {n}", f"SELECT pg_terminate_backend({n})") for n in range(1, 6)]
WAITS = "5_guards.up waits for a lock (ACCESS EXCLUSIVE) on jobs, which others have: "


@pytest.mark.parametrize(
    ("count", "blockers", "hint"),
    [
        (0, "short transactions, one after another", "run it again later"),
        (1, "pid 1", "end it (SELECT pg_terminate_backend(1)), or run it again later"),
        (3, "pid 1, pid 2, pid 3", "end it (SELECT pg_terminate_backend(1)), or run it again later"),
        (5, "pid 1, pid 2, pid 3 and 2 more", "end it (SELECT pg_terminate_backend(1)), or run it again later"),
    ],
)
def test_wait_names_the_blocking_sessions(count: int, blockers: str, hint: str) -> None:
    """It names at most three, the oldest first. The last message says how to end the first one."""
    wait = LockWait("5_guards.up", "a lock (ACCESS EXCLUSIVE) on jobs", HOLDERS[:count], 3, 10, 2.0)
    assert str(wait) == f"{WAITS}{blockers}; nobody waits behind it now; next try in 2 s (3 of 10)"
    error = wait.given_up()
    assert (error.message, error.hint) == (f"{WAITS}{blockers}; given up after 3 tries", hint)
    assert wait.holder_names == [f"pid {n}" for n in range(1, 1 + min(count, 3))]
