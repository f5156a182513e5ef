"""A part of `make lint`: finds lines of Markdown and SQL over 120 columns that could be broken.

python -m tests.line_lengths
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST = 120  # columns
EXEMPT = {
    "docs/results.md",  # made by make bench
    "migrations/3_operations.up.sql",  # released, so it must not change
}
"""Files whose lines may be of any length."""


def too_long(lines: Iterable[str]) -> Iterator[int]:
    """Return the numbers of the lines that are too long and could be shorter.

    A row of a table, a line between fences (a log line or an answer) and one word that is too long can't be broken.
    """
    fenced = False
    for number, line in enumerate(lines, 1):
        fenced ^= line.lstrip().startswith("```")
        if len(line) > LONGEST and not (fenced or line.startswith("|") or _is_one_word(line)):
            yield number


def _is_one_word(line: str) -> bool:
    """Return whether only a mark, such as a list's dash, stands before a word that is too long itself."""
    *marks, word = line.split()
    return len(marks) <= 1 and len(word) > LONGEST - len("- ")


def main() -> int:
    """Print each line that is too long. Return how many there are."""
    listed = subprocess.run(["git", "ls-files", "*.md", "*.sql"], capture_output=True, text=True, check=True).stdout
    found = [
        f"{file}:{number}: longer than {LONGEST} columns\n"
        for file in sorted(set(listed.split()) - EXEMPT)
        for number in too_long(Path(file).read_text().splitlines())
    ]
    sys.stderr.write("".join(found))
    return len(found)


if __name__ == "__main__":
    sys.exit(min(1, main()))
