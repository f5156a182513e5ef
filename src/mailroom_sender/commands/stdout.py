"""Lines of a command on stdout, in colour on a terminal."""

import os

import click


def style(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    """Return text in a colour; unchanged if there is no colour and it is not bold."""
    return click.style(text, fg=colour, bold=bold) if colour or bold else text


def print_line(line: str) -> None:
    """Print a line. Leave out its colours when stdout is not a terminal, or NO_COLOR is set (no-color.org)."""
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
