"""Reads from the database what a schema has, and which sessions hold a lock that a migration waits for.

A prepared transaction has no process. All its locks have the same virtual transaction id. One of them is a lock on its
transaction id, which pg_prepared_xacts has with its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from mailroom_collector.schema.contents import FIRST, MARKS, TABLE, Contents, Record
from mailroom_collector.schema.locks import conflicting
from mailroom_runtime.postgres.schema import INSTALLED_IN

_NAMES: Final = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s)
UNION SELECT t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = %(schema)s AND t.typname = ANY (%(names)s)
"""
_FUNCTIONS: Final = """
SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = %(schema)s AND p.proname = ANY (%(names)s)
"""
_COLUMNS: Final = """
SELECT c.relname::text, a.attname::text, t.typname::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'v')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_HOLDERS: Final = """
SELECT l.pid, a.application_name, a.usename::text, a.backend_type, a.state, a.xact_start,
    p.gid, p.owner::text, p.prepared
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
        AND x.locktype = 'transactionid'
    LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND l.pid IS DISTINCT FROM pg_backend_pid() AND {}
ORDER BY coalesce(a.xact_start, p.prepared), l.pid
"""
_OF_TABLE: Final = sql.SQL(
    "l.locktype = 'relation' AND l.mode = ANY (%(modes)s) AND l.relation IN ("
    "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %(schema)s AND c.relname = ANY (%(tables)s))"
)
_OF_KEYS: Final = sql.SQL(
    "l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = ANY (%(keys)s)"
)


def read_contents(connection: psycopg.Connection[Any], schema: str, names: Sequence[str]) -> Contents:
    """Return which of these tables and types the schema has, and what shows its version."""

    def rows(query: str, names: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode(), {"schema": schema, "names": list(names)}).fetchall()

    contents = Contents(
        schema=schema,
        exists=bool(rows("SELECT FROM pg_namespace WHERE nspname = %(schema)s")),
        names=frozenset(name for (name,) in rows(_NAMES, names)),
        functions=frozenset(name for (name,) in rows(_FUNCTIONS, list(MARKS.values()))),
        columns={(table, column): kind for table, column, kind in rows(_COLUMNS, [TABLE, *(t for t, _ in FIRST)])},
        record=None,
        elsewhere=[name for (name,) in rows(INSTALLED_IN) if name != schema],
    )
    if not contents.record_columns or contents.has_foreign_record:
        return contents
    query = sql.SQL("SELECT version, dirty FROM {}").format(sql.Identifier(schema, TABLE))
    row = connection.execute(query).fetchone()
    return replace(contents, record=Record(*row) if row else None)


@dataclass(frozen=True, slots=True)
class Holder:
    """A session or a prepared transaction that holds a lock. Its statement is left out: it may contain secrets."""

    name: str
    way_out: str
    """The statement that ends the session or the prepared transaction."""


def holders_of_tables(
    connection: psycopg.Connection[Any], schema: str, tables: Sequence[str], mode: str
) -> list[Holder]:
    """Return the holders of a lock on one of these tables that conflicts with the mode, the oldest first."""
    parameters = {"schema": schema, "tables": list(tables), "modes": conflicting(mode)}
    return _holders(connection, _OF_TABLE, parameters)


def holders_of_keys(connection: psycopg.Connection[Any], keys: Sequence[int]) -> list[Holder]:
    """Return the holders of one of these advisory locks, the oldest first."""
    return _holders(connection, _OF_KEYS, {"keys": list(keys)})


def _holders(connection: psycopg.Connection[Any], which: sql.SQL, parameters: dict[str, Any]) -> list[Holder]:
    rows = connection.execute(sql.SQL(_HOLDERS).format(which), parameters).fetchall()
    return list(dict.fromkeys(_holder(*row) for row in rows))


def _holder(
    pid: int | None, application: str | None, user: str | None, kind: str | None, state: str | None,
    since: datetime | None, prepared: str | None, owner: str | None, prepared_at: datetime | None,
) -> Holder:  # fmt: skip
    if pid is None:
        name = f"the prepared transaction '{prepared}' (role {owner}, since {_moment(prepared_at)})"
        return Holder(name, f"COMMIT PREPARED '{prepared}' or ROLLBACK PREPARED '{prepared}'")
    program = application or (kind if kind != "client backend" else "") or "no application_name"
    details = [program, f"role {user}" if user else "", state or "", f"since {_moment(since)}" if since else ""]
    return Holder(f"pid {pid} ({', '.join(filter(None, details))})", f"SELECT pg_terminate_backend({pid})")


def _moment(at: datetime | None) -> str:
    return "an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
