"""`make sql-mutants`: makes each wrong change of changes.py, and prints the changes that no test notices.

python -m tests.sql_mutants [TEXT ...]    only changes whose name has one of these texts in it
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.sql_mutants.changes import CHANGES, Change
from tests.support.postgres import Connection, running_server

_TESTS = ["tests/database", "tests/pipeline/test_pipeline.py", "tests/pipeline/test_actions.py"]
_LIMIT = 900.0  # seconds for the tests of one change


def named(number: int, change: Change) -> str:
    """Return the change as a person reads it."""
    return f"{change.function} #{number}: {change.find!r} -> {change.replace!r}"


def changed(connection: Connection, change: Change) -> str:
    """Return the statement that makes the change. Raises ValueError when it does not apply."""
    row = connection.execute(
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", (change.function,)
    ).fetchone()
    source = row[0] if row else ""
    if source.count(change.find) < 1:
        raise ValueError(f"{change.function} does not have {change.find!r}")
    return str(source.replace(change.find, change.replace, 1))


def is_noticed(statement: str, log: Path) -> bool:
    """Run the tests on a schema with the change. Return whether a test fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(statement)
        file.flush()
        env = os.environ | {"MAILROOM_TEST_TEMPLATE_SQL": file.name}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:xdist", *_TESTS]
        with log.open("wb") as out:
            try:
                done = subprocess.run(command, env=env, stdout=out, stderr=out, timeout=_LIMIT, check=False)
            except subprocess.TimeoutExpired:
                return True
    return done.returncode != 0


def main(texts: list[str]) -> int:
    """Make the changes one after another. Return how many were not noticed."""
    chosen = [(number, change) for number, change in enumerate(CHANGES) if wanted(named(number, change), texts)]
    with running_server() as server, server.connect("mailroom_template") as connection:
        statements = {number: changed(connection, change) for number, change in chosen}
    missed: list[str] = []
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, change in chosen:
            log = Path(folder) / str(number)
            noticed = is_noticed(statements[number], log)
            counts[change.function] += not noticed
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            print(f"{'noticed' if noticed else 'MISSED '} {named(number, change)}: {' '.join(last)}", flush=True)  # noqa: T201 - its output
            if not noticed:
                missed.append(named(number, change))
    print(f"{len(chosen) - len(missed)} of {len(chosen)} changes are noticed")  # noqa: T201 - as above
    return len(missed)


def wanted(name: str, texts: list[str]) -> bool:
    """Return whether the change was asked for."""
    return not texts or any(text in name for text in texts)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
