"""The ledger's steps as psql would call them, for tests."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.postgres import Connection, Database

LEASE_MS = 30_000


def add_invitation(database: Database, **columns: str) -> None:
    """Add a third action, as an application would."""
    row = {"name": "invitation", "number": "3", "prefix": "/invite", "template": "invitationv1"}
    row |= {"states": "{provisioned,suspended}"} | columns
    database.run(f"ALTER TYPE token_action ADD VALUE IF NOT EXISTS '{row['name']}'")
    database.run(
        f"INSERT INTO mailroom_actions ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values()
    )


def race(*calls: Callable[[], object]) -> None:
    """Run the calls at the same moment, each in a thread, to their end."""
    barrier = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            barrier.wait()
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


class Steps:
    """One session and one holder."""

    def __init__(self, connection: Connection, holder: str = "me", queue: str = "mailroom") -> None:
        self._connection = connection
        self._holder = holder
        self._queue = queue

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        text = query.replace("'mailroom'", f"'{self._queue}'")
        return self._connection.execute(text.encode(), parameters).fetchall()

    def check(self, most: int = 10) -> tuple[int, int | None]:
        query = "SELECT waiting, next_due_ms FROM mailroom_look('mailroom', %s)"
        ((waiting, next_due_ms),) = self._rows(query, most)
        return waiting, next_due_ms

    def another_polls_fast(self) -> bool:
        return bool(self._rows("SELECT attended FROM mailroom_look('mailroom', 1)")[0][0])

    def start_fast_polling(self, *, already: bool = False) -> bool:
        return bool(self._rows("SELECT mailroom_attend(%s)", already)[0][0])

    def stop_fast_polling(self, *, is_polling_fast: bool = True) -> bool:
        """Return whether all inserts that skipped NOTIFY have ended."""
        return bool(self._rows("SELECT mailroom_leave(%s)", is_polling_fast)[0][0])

    def claim(self, most: int = 10, lease_ms: int = LEASE_MS) -> list[int]:
        """Return the tokens that were claimed, in order."""
        rows = self._rows("SELECT * FROM mailroom_claim_any('mailroom', %s, %s, %s)", self._holder, lease_ms, most)
        return [row[0] for row in rows if row[6] is None and row[1] is not None]

    def extend(self, tokens: Sequence[int], lease_ms: int = LEASE_MS) -> list[int]:
        query = "SELECT * FROM mailroom_extend('mailroom', %s, %s, %s)"
        return sorted(row[0] for row in self._rows(query, self._holder, lease_ms, list(tokens)))

    def release(self, tokens: Sequence[int]) -> int:
        return int(self._rows("SELECT mailroom_release('mailroom', %s, %s)", self._holder, list(tokens))[0][0])

    def emitted(self, tokens: Sequence[int]) -> int:
        return int(self._rows("SELECT mailroom_emitted('mailroom', %s, %s)", self._holder, list(tokens))[0][0])

    def reject(self, token: int, reason: str) -> int:
        query = "SELECT mailroom_set_aside('mailroom', %s, %s, %s)"
        return int(self._rows(query, self._holder, [token], [reason])[0][0])

    def acknowledge(self) -> int:
        return int(self._rows("SELECT mailroom_acknowledge('mailroom')")[0][0])

    def begin(
        self, tokens: Sequence[int], lease_ms: int = LEASE_MS, emails: Sequence[str | None] | None = None
    ) -> dict[int, str | None]:
        """Return for each token why it may not be sent, or None."""
        secrets = [
            secret for token in tokens for (secret,) in self._rows("SELECT secret FROM tokens WHERE id = %s", token)
        ]
        query = "SELECT token, reason FROM mailroom_begin_rows('mailroom', %s, %s, %s, %s)"
        addresses = None if emails is None else [None if email is None else email.encode() for email in emails]
        return dict(self._rows(query, self._holder, lease_ms, secrets, addresses))

    def settle(self, token: int, outcome: str, delay_ms: int = 0) -> bool:
        """Return whether the outcome was recorded."""
        return self.settle_code(token, outcome, delay_ms) == "settled"

    def settle_code(self, token: int, outcome: str, delay_ms: int = 0) -> str:
        """Return the code that says what became of the outcome."""
        query = "SELECT code FROM mailroom_settle_rows('mailroom', %s, %s, %s::delivery_outcome[], %s, %s, %s)"
        return str(self._rows(query, self._holder, [token], [outcome], ["m"], ["why"], [delay_ms])[0][0])
