"""The files in migrations/functions: the newest migration contains them, and a migrated database has them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import Connection, Database

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "migrations"
FILES = sorted((MIGRATIONS / "functions").glob("*.sql"))
COMPILED = {
    f"mailroom_action_{column}"
    for column in (
        *("number", "states", "lifetime", "longest_life", "life_from_mail", "head_start"),
        *("newest_only", "most_mails", "most_within", "urgent"),
    )
} | {"mailroom_has_urgent"}
"""The functions that mailroom_actions_compiled writes from the rows of a table."""


def functions(connection: Connection) -> dict[str, tuple[object, ...]]:
    """Return each function by its name: arguments, result, language, volatility and body."""
    rows = connection.execute(
        "SELECT proname, pg_get_function_arguments(oid), pg_get_function_result(oid), prolang, provolatile, prosrc"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    return {name: tuple(row) for name, *row in rows}


def test_newest_migration_is_made_of_the_files(tmp_path: Path) -> None:
    """After `make migrations` no file has changed."""
    script = ROOT / "docs" / "generate" / "migration.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, timeout=60)
    made = sorted(tmp_path.iterdir())
    assert [file.name.split(".")[1] for file in made] == ["down", "up"]
    for file in made:
        assert (MIGRATIONS / file.name).read_text() == file.read_text(), f"{file.name}: run 'make migrations'"


def test_next_migration_gets_what_changes(tmp_path: Path) -> None:
    """A function without a marked place is named. Up creates it from its file, down restores the migration before."""
    script, migrations = tmp_path / "docs" / "generate" / "migration.py", tmp_path / "migrations"
    script.parent.mkdir(parents=True)
    script.write_text((ROOT / "docs" / "generate" / script.name).read_text())
    shutil.copytree(MIGRATIONS, migrations)
    changed = migrations / "functions" / "mailroom_watch.sql"
    was = changed.read_text()
    changed.write_text(was.replace("p_queue;", "p_queue LIMIT 1;"))
    for direction in ("up", "down"):
        (migrations / f"99_next.{direction}.sql").write_text("-- By hand.\n")
    failed = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    assert "99_next.up.sql: a function has two places, has none, or did not change: mailroom_watch" in failed.stderr
    for direction in ("up", "down"):
        with (migrations / f"99_next.{direction}.sql").open("a") as file:
            file.write("-- From x: mailroom_watch\n-- End of mailroom_watch\n")
    subprocess.run([sys.executable, script], check=True, timeout=60)
    up, down = ((migrations / f"99_next.{direction}.sql").read_text() for direction in ("up", "down"))
    head, end = "-- By hand.\n-- From ", "-- End of mailroom_watch\n"
    assert up == f"{head}functions/mailroom_watch.sql: mailroom_watch\n{changed.read_text()}{end}"
    assert down.startswith(head)
    assert down.endswith(f".up.sql: mailroom_watch\n{was[was.index('CREATE') :]}{end}")


def test_migrated_database_has_the_functions_of_the_files(database: Database) -> None:
    """It has each of them and no other. Creating them again from the files changes nothing."""
    before = functions(database.connection)
    assert {file.stem for file in FILES} == set(before) - COMPILED
    for file in FILES:
        database.run(file.read_text().replace("mailroom.", "public."))
    assert functions(database.connection) == before


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_describes_its_function(file: Path) -> None:
    """The file is named after its one function. Its head says who calls the function and what it returns."""
    head, *statements = file.read_text().split("\nCREATE OR REPLACE FUNCTION ")
    assert [statement.partition("(")[0] for statement in statements] == [file.stem]
    assert re.fullmatch(r"(-- .+\n(--\n)?)+-- Called by: .+\n(-- .+\n)*-- Returns: .+\n(-- .+\n)*", f"{head}\n")


def test_new_functions_name_their_parameters() -> None:
    """Names begin with p_, so no parameter is mistaken for a column, and no body uses $1."""
    text = "".join(
        file.read_text() for file in MIGRATIONS.glob("*.up.sql") if file.name.partition("_")[0] not in "01234"
    )
    created = re.findall(r"^CREATE FUNCTION \w+\((.*?)\)\s*RETURNS(.*?\$\$.*?\$\$)", text, re.M | re.S)
    assert len(created) >= 11
    for parameters, rest in created:
        assert all(one.split()[0].startswith("p_") for one in parameters.split(",") if one)
        assert not re.search(r"\$[0-9]", rest)
