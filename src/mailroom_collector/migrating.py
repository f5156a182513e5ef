"""Brings the schema to a version, with golang-migrate's own bookkeeping, so that either tool can.

The table and the lock are those of golang-migrate's postgres driver (database/postgres and
database/util.go): `schema_migrations(version bigint, dirty boolean)` holds one row or none,
and the advisory lock is a salted CRC-32 of database, schema and table.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import psycopg
from psycopg import errors

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, connect, translated
from mailroom_runtime.postgres.schema import PUBLIC_FUNCTIONS
from mailroom_runtime.postgres.url import DatabaseUrl

NONE: Final = -1
"""The version of a database without any migration."""

_NAME = re.compile(r"([0-9]+)_([a-z0-9_]+)\.(up|down)\.sql", re.ASCII)
_LOCK_SALT: Final = 1486364155
_TABLE: Final = "schema_migrations"
_OWNER: Final = "use the role that owns the schema"
_LOST: Final = {
    5: "which queues are paused, and which call began what",
    4: "the actions of your own, whose waiting mails fail",
    3: "the times at which deliveries were queued, and what status, failed, retry and prune need",
    2: "what the pipelines of this version need",
    1: "the ledger, with all that is known of each delivery",
}
"""What is lost below a version."""
_ALL_LOST: Final = "everything, with all accounts and tokens"


@contextmanager
def as_owner(url: DatabaseUrl | str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to migrate. Raises like connect(), with what to do about it."""
    with connect(url, OPERATOR) as connection, translated(grant=_OWNER):
        yield connection


def _reason(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)


@dataclass(frozen=True, slots=True)
class Step:
    """One migration file, and the version that the database is at once it has run."""

    name: str
    sql: str
    leads_to: int


@dataclass(frozen=True, slots=True)
class Migration:
    """A version with its two directions."""

    version: int
    name: str
    up: str
    down: str


def migrations() -> list[Migration]:
    """Return the migrations that come with this version of mailroom, in order."""
    files: dict[int, dict[str, str]] = {}
    for file in resources.files("mailroom_collector").joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            version, name, direction = match.groups()
            found = files.setdefault(int(version), {"name": name})
            found[direction] = file.read_text(encoding="utf-8")
    return [Migration(v, f["name"], f["up"], f["down"]) for v, f in sorted(files.items())]


def plan(known: Sequence[Migration], current: int, target: int) -> list[Step]:
    """Pure: return the steps from one version to another. Raises MailroomError when there is no way."""
    versions = [NONE, *(migration.version for migration in known)]
    for what, version in (("the database is at", current), ("asked for was", target)):
        if version not in versions:
            raise MailroomError(
                f"{what} version {version}, which this mailroom doesn't know", f"it knows {NONE} to {versions[-1]}"
            )
    up = [Step(f"{m.version}_{m.name}.up", m.up, m.version) for m in known if current < m.version <= target]
    down = [
        Step(f"{m.version}_{m.name}.down", m.down, versions[place])
        for place, m in enumerate(known)
        if target < m.version <= current
    ]
    return up or down[::-1]


def lost(steps: Sequence[Step], current: int) -> str:
    """Pure: return what is lost by these steps, which lead down from a version; empty when nothing is."""
    goal = steps[-1].leads_to if steps else current
    if goal == NONE and current != NONE:
        return _ALL_LOST
    gone = [what for version, what in _LOST.items() if goal < version <= current]
    return "; ".join(gone) or (f"what version {current} has stored" if goal < current else "")


class Migrator:
    """Runs migrations on one autocommit connection, alone: another one waits."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(
        self,
        target: int | None,
        *,
        dry_run: bool,
        tell: Callable[[str], None],
        agree: Callable[[str], bool] | None = None,
    ) -> bool:
        """Go to version `target` (None: the newest), telling each step; a dry run only tells.

        Before going down `agree` is told what is lost. Returns whether it agreed. Each step and its bookkeeping
        are one transaction. Raises MailroomError when a step fails; the database is then as the step before left it.
        """
        known = migrations()
        goal = known[-1].version if target is None else target
        self._connection.execute("SELECT pg_advisory_lock(%s)", (self._lock_id(),))
        try:
            current = self._version(tell)
            steps = plan(known, current, goal)
            loss = lost(steps, current)
            if loss and agree is not None and not dry_run and not agree(loss):
                return False
            for step in steps:
                if not dry_run:
                    self._apply(step)
                tell(f"{'would run' if dry_run else 'ran'} {step.name}")
            if not steps:
                tell(f"nothing to do: the schema is at version {current}")
            if goal != NONE:
                self._tell_who_may_create(tell)
                self._tell_who_may_execute(tell)
            return True
        finally:
            self._connection.execute("SELECT pg_advisory_unlock(%s)", (self._lock_id(),))

    def _lock_id(self) -> int:
        database, schema = self._one("SELECT current_database()::text, current_schema()::text")
        if schema is None:
            raise MailroomError("no schema to create in", "set search_path for this role or in the database URL")
        # golang-migrate takes the name from the URL's path, with its slash.
        text = "\0".join((f"/{database}", schema, _TABLE))
        return zlib.crc32(text.encode()) * _LOCK_SALT & 0xFFFFFFFF

    def _tell_who_may_create(self, tell: Callable[[str], None]) -> None:
        schema, is_open = self._one(
            "SELECT quote_ident(current_schema()), has_schema_privilege('public', current_schema(), 'CREATE')"
        )
        if is_open:
            tell(
                f"note: every role may create in the schema {schema}, in which functions run as its owner;"
                f" to end that: REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
            )

    def _tell_who_may_execute(self, tell: Callable[[str], None]) -> None:
        """Say it, and no more: a role that counts on it would lose its way if this were taken away."""
        names = [name for (name,) in self._connection.execute(PUBLIC_FUNCTIONS).fetchall()]
        if names:
            tell(
                f"note: every role may execute {len(names)} functions that run as their owner, as after a restore"
                " without rights (--no-acl); grant the roles of README, 'Database roles', what they need, and then:"
                f" REVOKE EXECUTE ON FUNCTION {', '.join(names)} FROM PUBLIC"
            )

    def _version(self, tell: Callable[[str], None]) -> int:
        """Return the version that is recorded, or 0 for another mailroom's schema without a record."""
        if self._one("SELECT to_regclass(%s)::text", _TABLE)[0] is not None:
            row = self._connection.execute(f"SELECT version, dirty FROM {_TABLE}").fetchone()  # noqa: S608
            if row and row[1]:
                raise MailroomError(
                    f"the schema is dirty at version {row[0]}: another tool stopped halfway",
                    "repair it by hand, then set dirty to false in schema_migrations",
                )
            if row:
                return int(row[0])
        names = self._one("SELECT to_regclass('accounts'), to_regclass('tokens'), to_regclass('jobs')")
        if None in names:
            return NONE
        tell("the schema is there without a record of its version: taken as version 0")
        return 0

    def _apply(self, step: Step) -> None:
        try:
            with self._connection.transaction():
                # Whatever the default of the database is: a step locks first, and must then see what others did.
                self._connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                self._connection.execute(step.sql.encode())
                self._connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {_TABLE} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
                )
                self._connection.execute(f"TRUNCATE {_TABLE}")
                if step.leads_to != NONE:
                    self._connection.execute(
                        f"INSERT INTO {_TABLE} (version, dirty) VALUES (%s, false)",  # noqa: S608
                        (step.leads_to,),
                    )
        except psycopg.Error as error:
            hint = _OWNER if isinstance(error, errors.InsufficientPrivilege) else ""
            raise MailroomError(f"{step.name} failed and changed nothing: {_reason(error)}", hint) from None

    def _one(self, query: str, *parameters: object) -> tuple[Any, ...]:
        row = self._connection.execute(query.encode(), parameters or None).fetchone()
        if row is None:  # a SELECT without FROM always has one row
            raise MailroomError("the database gave no answer")
        return tuple(row)
