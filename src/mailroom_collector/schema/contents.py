"""Pure: whether a schema is mailroom's, and at which version.

The table of the version is golang-migrate's. An application may use it for its own migrations, and names such as
`accounts`, `jobs` or `schema_migrations` are common. So the record alone proves nothing: the objects of the recorded
version must exist too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mailroom_collector.schema.plan import NONE
from mailroom_runtime.errors import MailroomError

TABLE: Final = "schema_migrations"
_FORMAT: Final = {"version": "int8", "dirty": "bool"}
"""The columns of golang-migrate's table."""

FIRST: Final = {
    ("accounts", "status"): "account_status",
    ("tokens", "action"): "token_action",
    ("jobs", "job_type"): "job_type",
}
"""Columns and their types that `0_init` of mailroom makes, and that no other program has."""
MARKS: Final = {
    1: "mailroom_announce",
    2: "mailroom_settle",
    3: "mailroom_unsettled",
    4: "mailroom_claim_any",
    5: "mailroom_watch",
    6: "mailroom_due",
}
"""For each later version, a function that exists from that version on."""

_OWN_SCHEMA: Final = "give mailroom a schema of its own: mailroom-collect migrate --schema mailroom"


class Record(NamedTuple):
    """The row of golang-migrate's table."""

    version: int
    is_dirty: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What a schema has of mailroom's names."""

    schema: str
    exists: bool
    names: frozenset[str]
    """Tables and types."""
    functions: frozenset[str]
    columns: Mapping[tuple[str, str], str]
    """Table and column to the name of its type."""
    record: Record | None
    elsewhere: Sequence[str]
    """Other schemas of the database that mailroom is installed in."""

    @property
    def record_columns(self) -> dict[str, str]:
        """Return the columns of the table of the record; none when there is no such table."""
        return {column: kind for (table, column), kind in self.columns.items() if table == TABLE}

    @property
    def has_foreign_record(self) -> bool:
        """Return whether the table exists, but with other columns than golang-migrate's."""
        return bool(self.record_columns) and self.record_columns != _FORMAT


def found_version(contents: Contents) -> int:
    """Return the version that the schema's objects show. The record is not read."""
    if any(contents.columns.get(place) != kind for place, kind in FIRST.items()):
        return NONE
    version = 0
    for later, mark in sorted(MARKS.items()):
        if mark not in contents.functions:
            break
        version = later
    return version


def current_version(contents: Contents) -> int:
    """Return the version that the schema is at.

    Raises MailroomError when the record is another program's, or when another tool stopped halfway.
    """
    found, record, schema = found_version(contents), contents.record, contents.schema
    if contents.has_foreign_record:
        columns = ", ".join(contents.record_columns)
        raise MailroomError(
            f"the table {TABLE} in schema {schema} is another program's: its columns are {columns}",
            _OWN_SCHEMA if found == NONE else "run the files in migrations with psql, which needs no such table",
        )
    if record is None:
        return found
    if not _is_ours(record, found):
        raise MailroomError(
            f"the table {TABLE} in schema {schema} is another program's: it records version {record.version}, and"
            f" {'the schema has no mailroom' if found == NONE else f'mailroom in the schema is at version {found}'}",
            _OWN_SCHEMA if found == NONE else f"if the table is mailroom's after all, set its version to {found}",
        )
    if record.is_dirty:
        raise MailroomError(
            f"the schema is dirty at version {record.version}: another tool stopped halfway",
            f"repair it by hand, then set dirty to false in {TABLE}",
        )
    return record.version


def _is_ours(record: Record, found: int) -> bool:
    """Return whether the record matches the objects. A version that is not known yet belongs to a newer mailroom."""
    newest = max(MARKS)
    if record.is_dirty:  # the record has the target version of a migration that stopped halfway
        return found in (record.version - 1, record.version, record.version + 1) or record.version > newest == found
    return record.version == found or record.version > newest == found


def check_names(contents: Contents, wanted: Sequence[str]) -> None:
    """Check that none of the objects to create exists already. Raises MailroomError."""
    taken = [name for name in wanted if name in contents.names]
    if taken:
        raise MailroomError(
            f"schema {contents.schema} already has {', '.join(taken)} of another program; nothing was changed",
            _OWN_SCHEMA,
        )
