"""Brings the schema to a version. It records the version like golang-migrate, so that either tool can be used.

Each step and its record of the version are one transaction, so no lock outlives it, even behind a pooler. A step waits
for its locks for a few seconds at most, so that no sign-up waits behind it for longer. Then it releases its locks,
names the sessions that block it, and tries again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors

from mailroom_collector.schema.contents import Contents, check_names, current_version
from mailroom_collector.schema.lock_wait import LOCK_TRIES, LockTries, LockWait, with_locks
from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.plan import NONE, Migration, MigrationStep, created, lost, plan
from mailroom_collector.schema.session import Session
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, connect, translated
from mailroom_runtime.postgres.schema import PUBLIC_FUNCTIONS
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.schema_name import qualified

_OWNER: Final = "use the role that owns the schema"
_MAY_CREATE: Final = "use a role that may create it: GRANT CREATE ON DATABASE ... TO ..."
_ANSWER: Final = 60.0
"""Seconds for the answer to a query. A step may take any time."""

T = TypeVar("T")


@contextmanager
def owner_connection(url: DatabaseUrl | str) -> Iterator[psycopg.Connection[Any]]:
    """Connect as the owner of the schema. Raises like connect(); for a missing right, the hint names the owner."""
    with connect(url, OPERATOR, _ANSWER) as connection, translated(grant=_OWNER):
        yield connection


def ignore(_: object) -> None:
    """Do nothing."""


class Migrator:
    """Runs migrations on one autocommit connection."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        schema: str | None = None,
        *,
        report: Callable[[str], None] = ignore,
        warn: Callable[[LockWait], None] = ignore,
        lock_tries: LockTries = LOCK_TRIES,
    ) -> None:
        """`schema` None: the first of the search path. `report` gets a line for each step. `warn` gets each wait."""
        self._connection = connection
        self._schema = schema
        self._report, self._warn = report, warn
        self._lock_tries = lock_tries

    def run(self, target: int | None, *, dry_run: bool = False, agree: Callable[[str], bool] | None = None) -> bool:
        """Bring the schema to version `target` (None: the newest). A dry run only prints what would be done.

        Before a step that loses data, while nothing is locked, it calls `agree` with what is lost. Returns False, and
        changes nothing, if `agree` does. Raises MailroomError when a step fails; the steps before it stay.
        """
        session = Session(self._connection, self._schema, self._lock_tries.lock_timeout)
        known = migrations()
        goal = known[-1].version if target is None else target
        contents = self._read(session, known)
        current = current_version(contents)
        steps = plan(known, current, goal)
        self._check(contents, current, steps)
        loss = lost(steps, current)
        if loss and agree is not None and not dry_run and not agree(loss):
            return False
        if steps and steps[0].leads_to > current and not contents.exists:
            self._report(f"{'would create' if dry_run else 'creating'} the schema {session.schema}")
        for step in steps if dry_run else ():
            self._report(f"would run {step.name}")
        if not dry_run:
            self._run_steps(session, known, current, goal)
        if not steps:
            self._report(f"nothing to do: the schema is at version {current}")
        if goal != NONE:
            self._report_create_right(session.schema)
            self._report_execute_rights(session.schema)
        elif steps and self._schema is not None:
            self._report(f"note: the schema {session.schema} stays, with the table schema_migrations")
        return True

    def _read(self, session: Session, known: Sequence[Migration]) -> Contents:
        """Read the contents of the schema, while no other migration runs."""
        names = created(plan(known, NONE, known[-1].version))
        return self._with_locks(session, "the migration", lambda: session.read(names))

    def _check(self, contents: Contents, current: int, steps: Sequence[MigrationStep]) -> None:
        """Check that nothing prevents the steps, and report what may surprise. Raises MailroomError."""
        if current != NONE and contents.record is None:
            self._report(f"the schema has no record of its version; its objects are those of version {current}")
        if current != NONE or not steps:
            return
        elsewhere = ", ".join(contents.elsewhere)
        if elsewhere and self._schema is None:
            raise MailroomError(
                f"mailroom is in another schema of this database: {elsewhere}; the search path leads to"
                f" {contents.schema}; nothing was changed",
                "give the schema: mailroom-collect migrate --schema NAME",
            )
        check_names(contents, created(steps))
        if elsewhere:
            self._report(f"note: mailroom is in another schema of this database too: {elsewhere}")

    def _run_steps(self, session: Session, known: Sequence[Migration], current: int, goal: int) -> None:
        """Run the steps one by one. Another migration may run some of them, if it has the same direction."""
        while steps := plan(known, current, goal):
            step = steps[0]
            other = self._with_locks(session, step.name, partial(self._run_step, session, step, current))
            if other is None:
                self._report(f"ran {step.name}")
            elif min(current, goal) <= other <= max(current, goal):
                self._report(f"another migration went to version {other} meanwhile")
            else:
                raise MailroomError(
                    f"another migration went from version {current} to {other} meanwhile",
                    "find out who runs it, then run this again",
                )
            current = step.leads_to if other is None else other

    def _run_step(self, session: Session, step: MigrationStep, current: int) -> int | None:
        """Run a step. If the schema has reached another version meanwhile, return that. Raises MailroomError."""
        try:
            return session.run(step, current)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            raise
        except psycopg.Error as error:
            reason = error.diag.message_primary or str(error)
            hint = ""
            if isinstance(error, errors.InsufficientPrivilege):
                hint = _MAY_CREATE if session.is_creating_schema else _OWNER
            raise MailroomError(f"{step.name} failed and changed nothing: {reason}", hint) from None

    def _with_locks(self, session: Session, what: str, attempt: Callable[[], T]) -> T:
        return with_locks(session, what, attempt, self._lock_tries, self._warn)

    def _report_create_right(self, schema: str) -> None:
        row = self._connection.execute(
            "SELECT quote_ident(nspname), has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace"
            " WHERE nspname = %s",
            (schema,),
        ).fetchone()
        name, is_open = row or ("", False)
        if is_open:
            self._report(
                f"note: every role may create in the schema {name}, in which functions run as its owner;"
                f" to end that: REVOKE CREATE ON SCHEMA {name} FROM PUBLIC"
            )

    def _report_execute_rights(self, schema: str) -> None:
        """Report the rights, and change nothing: a role of the application may depend on them."""
        rows = self._connection.execute(qualified(PUBLIC_FUNCTIONS, schema).encode()).fetchall()
        names = [name if self._schema is None else f"{schema}.{name}" for (name,) in rows]
        if names:
            self._report(
                f"note: every role may execute {len(names)} functions that run as their owner: a restore without"
                " rights (--no-acl) causes that; grant the roles of docs/roles.md, 'Grants', what they need, and then:"
                f" REVOKE EXECUTE ON FUNCTION {', '.join(names)} FROM PUBLIC"
            )
