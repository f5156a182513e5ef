"""Pure parts of migrating: whose schema it is, what is in whose way, and where the names of a statement are."""

import ast
import re
from pathlib import Path

import pytest

from mailroom_collector.schema.contents import FIRST, MARKS, Contents, Record, check_names, current_version
from mailroom_collector.schema.locks import LOCKS, advisory_key, advisory_keys, conflicting
from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.plan import NONE, created, plan
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.names import qualified

SRC = Path(__file__).parents[2] / "src"
NEWEST = migrations()[-1].version
RECORD = {("schema_migrations", "version"): "int8", ("schema_migrations", "dirty"): "bool"}
RAILS = {("schema_migrations", "version"): "varchar"}
ECTO = {("schema_migrations", "version"): "int8", ("schema_migrations", "inserted_at"): "timestamp"}
OTHER_TABLES = {("accounts", "status"): "text", ("tokens", "action"): "text", ("jobs", "payload"): "jsonb"}


def contents(
    version: int, record: Record | None = None, columns: dict[tuple[str, str], str] = RECORD, names: str = ""
) -> Contents:
    """Return a schema with mailroom at a version, and a record."""
    first = {} if version == NONE else FIRST
    marks = frozenset(mark for later, mark in MARKS.items() if later <= version)
    return Contents("public", True, frozenset(names.split()), marks, first | columns, record, [])


@pytest.mark.parametrize("version", range(-1, NEWEST + 1))
def test_recorded_version_that_is_there_is_ours(version: int) -> None:
    """The record is believed where what it records is there; without one, what is there tells the version."""
    record = None if version == NONE else Record(version, False)
    assert current_version(contents(version, record)) == version
    assert current_version(contents(version, columns={})) == version


def test_newer_mailroom_is_ours() -> None:
    """Its version is for the plan to refuse."""
    assert current_version(contents(NEWEST, Record(NEWEST + 3, False))) == NEWEST + 3


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (
            contents(NONE, Record(4, False)),
            "is another program's: it records version 4, and nothing of mailroom is there",
        ),
        (contents(NONE, Record(4, True)), "is another program's: it records version 4, and nothing of mailroom"),
        (contents(NONE, Record(20260131235959, False)), "it records version 20260131235959, and nothing of mailroom"),
        (
            contents(NONE, Record(4, False), RECORD | OTHER_TABLES),
            "records version 4, and nothing of mailroom is there",
        ),
        (contents(2, Record(4, False)), "it records version 4, and mailroom there is at version 2"),
        (contents(4, Record(2, False)), "it records version 2, and mailroom there is at version 4"),
        (
            contents(NONE, columns=RAILS),
            "is another program's: its columns are version; give mailroom a schema of its own",
        ),
        (contents(NONE, columns=ECTO), "is another program's: its columns are version, inserted_at; give mailroom"),
        (contents(2, columns=RAILS), "its columns are version; run the files in migrations with psql"),
        (contents(3, Record(4, True)), "dirty at version 4: another tool stopped halfway"),
        (contents(NONE, Record(0, True)), "dirty at version 0: another tool stopped halfway"),
    ],
)
def test_record_of_another_program_is_recognized(there: Contents, says: str) -> None:
    """Of Rails, of Ecto, and of golang-migrate for the application's own migrations."""
    with pytest.raises(MailroomError) as raised:
        current_version(there)
    assert says in str(raised.value)


@pytest.mark.parametrize("names", ["accounts", "tokens jobs", "deliveries", "job_type"])
def test_taken_names_are_told_before_anything_is_made(names: str) -> None:
    """Also those that only a later step would create."""
    wanted = created(plan(migrations(), NONE, NEWEST))
    with pytest.raises(MailroomError, match=f"schema public has {names.replace(' ', ', ')} already"):
        check_names(contents(NONE, names=names), wanted)


def test_every_migration_has_its_mark_and_its_locks() -> None:
    """Whoever adds a migration says what tells its version, and what it locks."""
    assert list(MARKS) == [one.version for one in migrations()[1:]]
    assert list(LOCKS) == [f"{one.version}_{one.name}.{way}" for one in migrations() for way in ("up", "down")]


def test_conflicts_of_modes_are_mutual() -> None:
    """As in PostgreSQL's table 13.2."""
    modes = ["ACCESS SHARE", "ROW EXCLUSIVE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]
    assert conflicting("ACCESS SHARE") == ["AccessExclusiveLock"]
    assert "RowExclusiveLock" not in conflicting("ROW EXCLUSIVE")
    assert len(conflicting("ACCESS EXCLUSIVE")) == 8
    for one in modes:
        for other in modes:
            spelled = [mode.title().replace(" ", "") + "Lock" for mode in (one, other)]
            assert (spelled[1] in conflicting(one)) == (spelled[0] in conflicting(other))


def test_lock_keys_are_golang_migrates() -> None:
    """Its own test's value (database/util_test.go), for the order of the names: schema, table, database."""
    assert advisory_key("schema_name_1", "schema_name_2", "database_name") == 3743845847
    assert advisory_keys("db", "public", "schema_migrations") == [2161351301, 3256993429, 1759583337]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [(None, "SELECT f(%s::job_type)"), ("order", 'SELECT "order".f(%s::"order".job_type)')],
)
def test_names_are_qualified(schema: str | None, expected: str) -> None:
    """With the schema of the setting, quoted; without one they are left to the search path."""
    assert qualified("SELECT mailroom.f(%s::mailroom.job_type)", schema) == expected


def _texts(file: Path) -> list[str]:
    """Return the strings of a file, but for its docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and id(node) not in prose]  # fmt: skip


def test_every_statement_names_its_schema() -> None:
    """A name of mailroom's without one would be looked for in the search path, whatever the setting says."""
    bare = re.compile(
        r"(?<![\w.])mailroom_\w+\(|::(job_type|delivery_\w+)|\b(FROM|INTO|JOIN) (jobs|tokens|accounts|deliveries)\b"
    )
    texts = [(file, text) for file in SRC.rglob("*.py") for text in _texts(file)]
    exempt = {"listing.py"}  # tells people what to insert
    assert [(file.name, text) for file, text in texts if bare.search(text) and file.name not in exempt] == []
    assert any("mailroom.mailroom_begin" in text for _, text in texts)
