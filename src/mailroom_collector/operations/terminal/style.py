"""The style of stdout: its width, its colours, and its characters."""

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Final

import click

from mailroom_collector.operations.text.status_line import Kind, StatusLine

_PIPED_COLUMNS: Final = 1_000_000
"""The columns when stdout is not a terminal. Nothing is cut then."""


@dataclass(frozen=True, slots=True)
class TerminalStyle:
    """The style in which lines are shown."""

    columns: int
    colours: bool
    unicode: bool

    def line(self, line: StatusLine) -> str:
        """Return the line with its colours, if there are any."""
        if not self.colours or line.kind is Kind.PLAIN:
            return line.text
        return click.style(line.text, bold=True, fg="red" if line.kind is Kind.BAD else None)


def stdout_style() -> TerminalStyle:
    """Return the style that stdout and the environment allow (NO_COLOR: no-color.org)."""
    is_terminal = sys.stdout.isatty()
    return TerminalStyle(
        columns=shutil.get_terminal_size().columns if is_terminal else _PIPED_COLUMNS,
        colours=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        unicode=(sys.stdout.encoding or "").lower().replace("-", "") == "utf8",
    )
