"""The application: it signs people up, rolls back, suspends, consumes, and notes when a token becomes stale."""

import random
import time
from dataclasses import dataclass, field

import psycopg

from tests.storm.plan import Event
from tests.support.postgres import Connection, Server

_ACCOUNT = "INSERT INTO accounts (email, login) SELECT n || '@example.com', n FROM generate_series(%s::bigint, %s) n"


@dataclass
class Writers:
    """Writes as an application does. If the server did not answer a commit, the write may have happened."""

    server: Server
    name: str
    stale_since: dict[int, float] = field(default_factory=dict)  # token to the time after the commit (epoch)
    counts: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    _numbers: int = 0
    _connection: Connection | None = None

    def write(self, event: Event) -> None:
        """Do the write of the event. An outage of the server is not an error here."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self.server.connect(self.name)
            self._write(self._connection, event)
            self.counts[event.kind] = self.counts.get(event.kind, 0) + 1
        except psycopg.OperationalError:
            self.failed += 1
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _next(self, count: int = 1) -> tuple[int, int]:
        first = self._numbers + 1
        self._numbers += count
        return first, self._numbers

    def _write(self, connection: Connection, event: Event) -> None:
        chance = random.Random(event.seed)
        match event.kind:
            case "one":
                connection.execute(_ACCOUNT, self._next())
            case "bulk":
                connection.execute(_ACCOUNT, self._next(int(event.amount)))
            case "overlapping":
                with self.server.connect(self.name) as other, connection.transaction():
                    connection.execute(_ACCOUNT, self._next(int(event.amount)))
                    other.execute(_ACCOUNT, self._next(int(event.amount)))
                    time.sleep(chance.uniform(0, 0.3))
            case "rolled back":
                with connection.transaction(force_rollback=True):
                    connection.execute(_ACCOUNT, self._next(int(event.amount)))
            case "recovery":
                self._recovery(connection)
            case "short-lived":
                connection.execute(_ACCOUNT, self._next(int(event.amount)))
                connection.execute(
                    "UPDATE tokens SET expires_at = mailroom_epoch() + %s WHERE id > (SELECT max(id) FROM tokens) - %s",
                    (chance.randint(1, 4), int(event.amount)),
                )
            case "suspended" | "consumed":
                self._spoil(connection, event.kind, int(event.amount))

    def _recovery(self, connection: Connection) -> None:
        first, _ = self._next()
        connection.execute(_ACCOUNT, (first, first))
        with connection.transaction():
            tokens = connection.execute(
                "UPDATE tokens SET consumed_at = mailroom_epoch() FROM accounts a"
                " WHERE a.id = tokens.account AND a.login = %s::text RETURNING tokens.id",
                (first,),
            ).fetchall()
            connection.execute(
                "INSERT INTO tokens (action, account)"
                " SELECT 'password_recovery', id FROM accounts WHERE login = %s::text",
                (first,),
            )
        self._went_stale(tokens)

    def _spoil(self, connection: Connection, kind: str, count: int) -> None:
        """Make some of the newest tokens stale, which are probably in the pipe."""
        newest = connection.execute("SELECT id, account FROM tokens ORDER BY id DESC LIMIT %s", (count,)).fetchall()
        if kind == "suspended":
            accounts = [account for _, account in newest]
            connection.execute("UPDATE accounts SET status = 'suspended' WHERE id = ANY (%s)", (accounts,))
            newest = connection.execute("SELECT id FROM tokens WHERE account = ANY (%s)", (accounts,)).fetchall()
        else:
            connection.execute(
                "UPDATE tokens SET consumed_at = mailroom_epoch() WHERE id = ANY (%s)", ([t for t, _ in newest],)
            )
        self._went_stale(newest)

    def _went_stale(self, rows: list[tuple[int, ...]]) -> None:
        now = time.time()
        for token, *_ in rows:
            self.stale_since.setdefault(token, now)
