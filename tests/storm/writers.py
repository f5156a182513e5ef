"""The application: it signs people up, imports, rolls back, suspends and consumes.

It notes when it committed a token that goes before an import, and when a token becomes stale.
"""

import random
import time
from dataclasses import dataclass, field

import psycopg

from tests.storm.plan import MOST_MAILS, MOST_WITHIN, Event
from tests.support.postgres import Connection, Server

IMPORTED = "@import.example.com"
"""Where the addresses of imported accounts end."""
SETTINGS = f"""
UPDATE mailroom_actions SET most_mails = {MOST_MAILS}, most_within = {MOST_WITHIN} WHERE name = 'password_recovery'
"""
_ACCOUNT = "INSERT INTO accounts (email, login) SELECT n || '@example.com', n FROM generate_series(%s::bigint, %s) n"
_IMPORT = _ACCOUNT.replace("@example.com", IMPORTED)
_ACTIVE_ACCOUNT = (
    "WITH a AS (INSERT INTO accounts (email, login, status) VALUES (%s || '@example.com', %s, 'active') RETURNING id)"
    " SELECT id FROM a"
)
_ROLLS_BACK = 0.25  # of the imports


@dataclass
class Writers:
    """Writes as an application does. If the server did not answer a commit, the write may have happened."""

    server: Server
    name: str
    committed: dict[int, float] = field(default_factory=dict)  # token to the time after its commit (epoch)
    stale_since: dict[int, float] = field(default_factory=dict)  # token to the time after the commit (epoch)
    counts: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    _numbers: int = 0
    _regulars: dict[int, int] = field(default_factory=dict)  # accounts that ask again and again
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
                self._sign_up(connection, 1)
            case "import":
                rolls_back = chance.random() < _ROLLS_BACK
                with connection.transaction(force_rollback=rolls_back):
                    connection.execute(_IMPORT, self._next(int(event.amount)))
            case "overlapping":
                with self.server.connect(self.name) as other, connection.transaction():
                    connection.execute(_ACCOUNT, self._next(int(event.amount)))
                    self._sign_up(other, int(event.amount))
                    time.sleep(chance.uniform(0, 0.3))
            case "rolled back":
                with connection.transaction(force_rollback=True):
                    connection.execute(_ACCOUNT, self._next(int(event.amount)))
            case "recovery":
                self._recovery(connection)
            case "several":
                self._several(connection, int(event.amount), chance)
            case "insistent":
                self._insistent(connection, int(event.amount))
            case "short-lived":
                connection.execute(_ACCOUNT, self._next(int(event.amount)))
                connection.execute(
                    "UPDATE tokens SET expires_at = mailroom_epoch() + %s WHERE id > (SELECT max(id) FROM tokens) - %s",
                    (chance.randint(1, 4), int(event.amount)),
                )
            case "suspended" | "consumed":
                self._spoil(connection, event.kind, int(event.amount))

    def _sign_up(self, connection: Connection, count: int) -> None:
        first, last = self._next(count)
        connection.execute(_ACCOUNT, (first, last))
        now = time.time()
        logins = [str(number) for number in range(first, last + 1)]
        for (token,) in connection.execute(
            "SELECT t.id FROM tokens t JOIN accounts a ON a.id = t.account WHERE a.login = ANY (%s)", (logins,)
        ):
            self.committed[token] = now

    def _several(self, connection: Connection, count: int, chance: random.Random) -> None:
        """Let an account ask for a recovery, and for another one while the first one waits."""
        account = self._active_account(connection)
        for _ in range(count + 1):
            self._ask(connection, account)
            time.sleep(chance.choice([0, 0, 0.02, 0.1]))

    def _insistent(self, connection: Connection, number: int) -> None:
        """Let one of a few accounts ask again."""
        account = self._regulars.get(number)
        if account is None or not self._ask(connection, account):
            self._regulars[number] = self._active_account(connection)
            self._ask(connection, self._regulars[number])

    def _active_account(self, connection: Connection) -> int:
        number, _ = self._next()
        ((account,),) = connection.execute(_ACTIVE_ACCOUNT, (str(number), str(number))).fetchall()
        return int(account)

    def _ask(self, connection: Connection, account: int) -> bool:
        """Ask for a recovery. Return whether the account may: it may be suspended meanwhile."""
        tokens = connection.execute(
            "INSERT INTO tokens (action, account)"
            " SELECT 'password_recovery', id FROM accounts WHERE id = %s AND status = 'active' RETURNING id",
            (account,),
        ).fetchall()
        self.committed |= {token: time.time() for (token,) in tokens}
        return bool(tokens)

    def _recovery(self, connection: Connection) -> None:
        first, _ = self._next()
        connection.execute(_ACCOUNT, (first, first))
        with connection.transaction():
            tokens = connection.execute(
                "UPDATE tokens SET consumed_at = mailroom_epoch() FROM accounts a"
                " WHERE a.id = tokens.account AND a.login = %s::text RETURNING tokens.id",
                (first,),
            ).fetchall()
            ((recovery,),) = connection.execute(
                "INSERT INTO tokens (action, account)"
                " SELECT 'password_recovery', id FROM accounts WHERE login = %s::text RETURNING id",
                (first,),
            ).fetchall()
        self.committed[recovery] = time.time()
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
