"""Writes the functions of the newest migration, from the files in `migrations/functions`. Run by `make migrations`.

The up file gets each function that differs from what the migrations before made. The down file gets what it was before.
Both files are complete, plain SQL. A line `-- From FILE: NAME` begins a function, `-- End of NAME` ends it, and all
between them is written here. The rest of the two files is written by hand.

python docs/generate/migration.py [FOLDER]    FOLDER: where to write, instead of `migrations`
"""

import re
import sys
from pathlib import Path

_MIGRATIONS = Path(__file__).parents[2] / "migrations"
_STATEMENT = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)\(.*?\$\$.*?\$\$", re.MULTILINE | re.DOTALL)
_REGION = re.compile(r"^-- From \S+: (\w+)\n.*?^-- End of \1\n", re.MULTILINE | re.DOTALL)
_BY_FORMAT = (("'mailroom.jobs'", "%2$L"), ("mailroom.", "%1$I."))
"""How a file of functions names the schema, and how a migration does that creates the function by format()."""
_COLUMNS = 120


def composed() -> dict[str, str]:
    """Return the two files of the newest migration, by name. Raises ValueError where the marks do not fit."""
    *released, newest = sorted(_MIGRATIONS.glob("*.up.sql"), key=lambda file: int(file.name.partition("_")[0]))
    before: dict[str, tuple[str, str]] = {}
    for file in released:
        before |= {match[1]: (file.name, match[0]) for match in _STATEMENT.finditer(file.read_text())}
    ups: dict[str, str] = {}
    downs: dict[str, str] = {}
    for file in sorted((_MIGRATIONS / "functions").glob("*.sql")):
        name, text = file.stem, file.read_text()
        origin, old = before.get(name, ("", ""))
        if _plain(_statement(text)) != _plain(old):
            ups[name] = f"-- From functions/{name}.sql: {name}\n{_up(text, is_new=not old)}-- End of {name}\n"
            if old:
                downs[name] = f"-- From {origin}: {name}\n{_down(old, by_format=_is_by_format(text))}-- End of {name}\n"
    down = newest.with_name(newest.name.replace(".up.", ".down."))
    return {newest.name: _filled(newest, ups), down.name: _filled(down, downs)}


def _statement(text: str) -> str:
    match = _STATEMENT.search(text)
    if match is None:
        raise ValueError(f"no function in {text[:60]!r}")
    return match[0]


def _plain(statement: str) -> str:
    """Return a statement in the form in which two of them are compared."""
    statement = re.sub(r"%I\.", "%1$I.", statement.replace("CREATE OR REPLACE ", "CREATE ", 1))
    for in_file, in_format in _BY_FORMAT:
        statement = statement.replace(in_format, in_file)
    return statement


def _is_by_format(text: str) -> bool:
    """Say whether the migration creates this function by format(), as its body names the schema."""
    return "mailroom." in _statement(text)


def _up(text: str, *, is_new: bool) -> str:
    """Return a function's file as it stands in the migration."""
    if _is_by_format(text):
        statement = _statement(text)
        for in_file, in_format in _BY_FORMAT:
            statement = statement.replace(in_file, in_format)
        return f"{statement}\n"
    return text.replace("\nCREATE OR REPLACE ", "\nCREATE ", 1) if is_new else text


def _down(statement: str, *, by_format: bool) -> str:
    """Return what a function was before, with no line that is too long."""
    statement = re.sub(r"\ACREATE FUNCTION", "CREATE OR REPLACE FUNCTION", statement)
    head, _, rest = statement.partition("\n")
    if len(head) > _COLUMNS:
        place = head.rindex(", ", 0, _COLUMNS) + 1
        head = f"{head[:place]}\n{' ' * head.index('(')}{head[place:]}"
    return f"{head}\n{rest}{'' if by_format else ';'}\n"


def _filled(file: Path, functions: dict[str, str]) -> str:
    """Return a migration with these functions in their places."""
    text = file.read_text()
    places = [match[1] for match in _REGION.finditer(text)]
    if sorted(places) != sorted(functions):
        wrong = ", ".join(sorted(set(places) ^ set(functions)))
        raise ValueError(f"{file.name}: a function has two places, has none, or did not change: {wrong}")
    return _REGION.sub(lambda match: functions[match[1]], text)


def main(into: Path) -> None:
    """Write the files that changed."""
    for name, content in composed().items():
        file = into / name
        if not file.exists() or file.read_text() != content:
            file.write_text(content)
            sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _MIGRATIONS)
