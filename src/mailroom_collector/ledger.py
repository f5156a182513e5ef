"""The collector's steps in the ledger, one SQL call each (migrations/2_steps.up.sql).

Every step raises what database.translated() makes of a failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailroom_collector.database import Link, translated
from mailroom_collector.tokens import Action, Token


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took."""

    tokens: list[Token]
    stale: dict[int, str]  # token to the reason why it is mailed no more
    doubts: list[int]  # tokens whose last sender was never heard of again
    acknowledged: bool

    @property
    def rows(self) -> int:
        """Return how many deliveries were looked at: fewer than asked for means nothing is left."""
        return len(self.tokens) + len(self.stale)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one queue, as seen by one holder."""

    link: Link
    queue: str
    holder: str
    lease_ms: int

    def look(self, most: int) -> tuple[int, int | None]:
        """Return how many rows are due now, counted up to `most`, and in how many ms the next is."""
        with translated():
            row = self.link.connection.execute(
                "SELECT waiting, next_due_ms FROM mailroom_look(%s::job_type, %s::integer)", (self.queue, most)
            ).fetchone()
        return row if row else (0, None)

    def claim(self, most: int) -> Claim:
        """Take up to `most` due rows, oldest first."""
        with translated():
            rows = self.link.connection.execute(
                "SELECT token, action::text, email, login, secret, code, stale, doubt, acknowledged"
                " FROM mailroom_claim(%s::job_type, %s, %s::integer, %s::integer)",
                (self.queue, self.holder, self.lease_ms, most),
                binary=True,
            ).fetchall()
        return Claim(
            tokens=[Token(row[0], Action(row[1]), *row[2:6]) for row in rows if row[6] is None],
            stale={row[0]: row[6] for row in rows if row[6] is not None},
            doubts=[row[0] for row in rows if row[7]],
            acknowledged=bool(rows and rows[0][8]),
        )

    def extend(self, tokens: Sequence[int]) -> set[int]:
        """Renew the lease of these tokens; return those that are still held."""
        with translated():
            rows = self.link.connection.execute(
                "SELECT mailroom_extend(%s::job_type, %s, %s::integer, %s::bigint[])",
                (self.queue, self.holder, self.lease_ms, list(tokens)),
            ).fetchall()
        return {token for (token,) in rows}

    def release(self, tokens: Sequence[int]) -> int:
        """Give back what of these is still held; return how many that were."""
        return self._count("mailroom_release", tokens)

    def emitted(self, tokens: Sequence[int]) -> int:
        """Tell that the reader took these; returns 0 when a sender acknowledges them instead."""
        return self._count("mailroom_emitted", tokens)

    def _count(self, step: str, tokens: Sequence[int]) -> int:
        with translated():
            row = self.link.connection.execute(
                f"SELECT {step}(%s::job_type, %s, %s::bigint[])", (self.queue, self.holder, list(tokens))
            ).fetchone()
        return int(row[0]) if row else 0

    def set_aside(self, reasons: Mapping[int, str]) -> None:
        """Settle these tokens as failed, each with its reason."""
        with translated():
            self.link.connection.execute(
                "SELECT mailroom_set_aside(%s::job_type, %s, %s::bigint[], %s::text[])",
                (self.queue, self.holder, list(reasons), list(reasons.values())),
            )
