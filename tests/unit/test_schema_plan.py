"""Pure parts of a migration: the owner of a schema, name conflicts, and the names in a statement."""

import ast
import re
from pathlib import Path

import pytest

from mailroom_collector.schema.contents import FIRST, MARKS, Contents, Record, check_names, current_version
from mailroom_collector.schema.locks import LOCKS, advisory_key, advisory_keys, conflicting
from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.plan import NONE, Migration, MigrationStep, created, lost, plan
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.schema_name import qualified

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
def test_recorded_version_that_exists_is_ours(version: int) -> None:
    """The record is valid if its objects exist. Without a record the objects give the version."""
    record = None if version == NONE else Record(version, False)
    assert current_version(contents(version, record)) == version
    assert current_version(contents(version, columns={})) == version


def test_newer_mailroom_is_ours() -> None:
    """The plan refuses its version."""
    assert current_version(contents(NEWEST, Record(NEWEST + 3, False))) == NEWEST + 3


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (
            contents(NONE, Record(4, False)),
            "the table schema_migrations in schema public is another program's: it records version 4, and the schema"
            " has no mailroom; give mailroom a schema of its own: mailroom-collect migrate --schema mailroom",
        ),
        (contents(NONE, Record(4, True)), "is another program's: it records version 4, and the schema has no mailroom"),
        (
            contents(NONE, Record(20260131235959, False)),
            "it records version 20260131235959, and the schema has no mailroom",
        ),
        (
            contents(NONE, Record(4, False), RECORD | OTHER_TABLES),
            "records version 4, and the schema has no mailroom",
        ),
        (
            contents(2, Record(4, False)),
            "it records version 4, and mailroom in the schema is at version 2; if the table is"
            " mailroom's after all, set its version to 2",
        ),
        (
            contents(2, Record(NEWEST, False)),
            f"it records version {NEWEST}, and mailroom in the schema is at version 2",
        ),
        (contents(2, Record(4, True)), "it records version 4, and mailroom in the schema is at version 2"),
        (contents(4, Record(2, True)), "it records version 2, and mailroom in the schema is at version 4"),
        (
            contents(2, Record(NEWEST + 2, True)),
            f"it records version {NEWEST + 2}, and mailroom in the schema is at version 2",
        ),
        (contents(NEWEST, Record(NEWEST + 2, True)), f"dirty at version {NEWEST + 2}: another tool stopped halfway"),
        (
            contents(3, Record(2, True)),
            "dirty at version 2: another tool stopped halfway; repair it by hand, then set"
            " dirty to false in schema_migrations",
        ),
        (contents(4, Record(2, False)), "it records version 2, and mailroom in the schema is at version 4"),
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
    """These are Rails, Ecto, and golang-migrate for the application's migrations."""
    with pytest.raises(MailroomError) as raised:
        current_version(there)
    assert says in str(raised.value)


@pytest.mark.parametrize("names", ["accounts", "tokens jobs", "deliveries", "job_type"])
def test_taken_names_are_reported_before_any_change(names: str) -> None:
    """Names that only a later step would create count too."""
    wanted = created(plan(migrations(), NONE, NEWEST))
    with pytest.raises(
        MailroomError,
        match=f"^schema public already has {names.replace(' ', ', ')} of another"
        " program; nothing was changed; give mailroom a schema of its own",
    ):
        check_names(contents(NONE, names=names), wanted)


def test_every_migration_has_its_mark_and_its_locks() -> None:
    """A new migration must say how to recognize its version, and what it locks."""
    assert list(MARKS) == [one.version for one in migrations()[1:]]
    assert list(LOCKS) == [f"{one.version}_{one.name}.{way}" for one in migrations() for way in ("up", "down")]


KNOWN = [Migration(number, name, f"{name} up", f"{name} down") for number, name in enumerate(("init", "more", "last"))]


@pytest.mark.parametrize(
    ("current", "target", "steps"),
    [
        (NONE, 1, [MigrationStep("0_init.up", "init up", 0), MigrationStep("1_more.up", "more up", 1)]),
        (1, 2, [MigrationStep("2_last.up", "last up", 2)]),
        (2, 2, []),
        (2, 0, [MigrationStep("2_last.down", "last down", 1), MigrationStep("1_more.down", "more down", 0)]),
        (1, NONE, [MigrationStep("1_more.down", "more down", 0), MigrationStep("0_init.down", "init down", NONE)]),
    ],
)
def test_steps_lead_from_one_version_to_another(current: int, target: int, steps: list[MigrationStep]) -> None:
    """Up is in order, down in reverse. Each step names its target."""
    assert plan(KNOWN, current, target) == steps


@pytest.mark.parametrize(
    ("current", "target", "words"), [(3, 0, "the database is at version 3"), (0, 7, "the target is version 7")]
)
def test_unknown_version_is_refused(current: int, target: int, words: str) -> None:
    """The message lists the known ones."""
    with pytest.raises(MailroomError) as raised:
        plan(KNOWN, current, target)
    assert str(raised.value) == f"{words}, which this mailroom doesn't know; it knows -1 to 2"


@pytest.mark.parametrize(
    ("current", "goal", "words"),
    [
        (5, 4, "which queues are paused, and which call began what"),
        (4, 2, "the actions of your own, whose waiting mails fail; the times at which deliveries were queued,"
               " and what status, failed, retry and prune need"),
        (1, 0, "the ledger, with all that is known of each delivery"),
        (0, NONE, "everything, with all accounts and tokens"),
        (5, NONE, "everything, with all accounts and tokens"),
        (1000, 999, "what version 1000 has stored"),
    ],
)  # fmt: skip
def test_losses_of_a_way_down_are_listed(current: int, goal: int, words: str) -> None:
    """They are listed for each version that is left."""
    assert lost([MigrationStep("x.down", "", goal + 1), MigrationStep("y.down", "", goal)], current) == words


def test_way_up_or_nowhere_loses_nothing() -> None:
    """This is so for every version."""
    assert (lost([], 5), lost([], NONE), lost([MigrationStep("x.up", "", 5)], 4)) == ("", "", "")


def test_conflicts_of_modes_are_mutual() -> None:
    """PostgreSQL's table 13.2 says so."""
    modes = ["ACCESS SHARE", "ROW EXCLUSIVE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]
    assert conflicting("ACCESS SHARE") == ["AccessExclusiveLock"]
    assert "RowExclusiveLock" not in conflicting("ROW EXCLUSIVE")
    assert len(conflicting("ACCESS EXCLUSIVE")) == 8
    for one in modes:
        for other in modes:
            spelled = [mode.title().replace(" ", "") + "Lock" for mode in (one, other)]
            assert (spelled[1] in conflicting(one)) == (spelled[0] in conflicting(other))


def test_lock_keys_are_golang_migrates() -> None:
    """The value is from its own test (database/util_test.go), with the names in the order schema, table, database."""
    assert advisory_key("schema_name_1", "schema_name_2", "database_name") == 3743845847
    assert advisory_keys("db", "public", "schema_migrations") == [2161351301, 3256993429, 1759583337]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [(None, "SELECT f(%s::job_type)"), ("order", 'SELECT "order".f(%s::"order".job_type)')],
)
def test_names_are_qualified(schema: str | None, expected: str) -> None:
    """The schema of the setting is quoted. Without one, the search path finds them."""
    assert qualified("SELECT mailroom.f(%s::mailroom.job_type)", schema) == expected


def _texts(file: Path) -> list[str]:
    """Return the strings of a file, without its docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and id(node) not in prose]  # fmt: skip


def test_every_statement_names_its_schema() -> None:
    """A name of mailroom without a schema would be searched in the search path, whatever the setting is."""
    bare = re.compile(
        r"(?<![\w.])mailroom_\w+\(|::(job_type|delivery_\w+)|\b(FROM|INTO|JOIN) (jobs|tokens|accounts|deliveries)\b"
    )
    texts = [(file, text) for file in SRC.rglob("*.py") for text in _texts(file)]
    exempt = {"delivery_list.py"}  # shows people what to insert
    assert [(file.name, text) for file, text in texts if bare.search(text) and file.name not in exempt] == []
    assert any("mailroom.mailroom_begin" in text for _, text in texts)
