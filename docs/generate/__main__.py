"""Writes what is made from the programs: reference, manual, completion, log events, schema. Run by `make docs`."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from click.shell_completion import get_completion_class
from commands import PROGRAMS, programs
from log_events import log_events
from manual import manual
from reference import reference
from schema import schema

_DOCS = Path(__file__).parents[1]
_FILES = {"bash": "bash/{}", "zsh": "zsh/_{}", "fish": "fish/{}.fish"}
"""By shell: the names by which it looks for completion files."""


def made() -> Iterator[tuple[str, str]]:
    """Yield each file, by its path in docs, and its content."""
    walked = programs()
    yield "reference.md", reference(walked)
    yield "schema.sql", schema()
    yield "log-events.md", log_events()
    for program in walked:
        page = f"man/{program.path}.1"
        yield page, manual(program, _date(page, manual(program, "")))
    for name, command in PROGRAMS.items():
        variable = f"_{name.replace('-', '_')}_COMPLETE".upper()  # by which click asks the program
        for shell, file in _FILES.items():
            completion = get_completion_class(shell)
            assert completion is not None, shell
            yield (
                f"completion/{file.format(name)}",
                completion(command, {}, name, variable).source().strip() + "\n",
            )


def _date(name: str, undated: str) -> str:
    """Return the date of a page's last change: today's only when it changes now."""
    file = _DOCS / name
    if file.exists():
        head, _, body = file.read_text().partition("\n")
        if body == undated.partition("\n")[2]:
            return head.removeprefix(".Dd ")
    today = datetime.now(UTC)
    return f"{today:%B} {today.day}, {today.year}"


def main(into: Path) -> None:
    """Write the files that changed."""
    for name, content in made():
        file = into / name
        if not file.exists() or file.read_text() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS)
