"""Asks a person before a step that is hard to undo."""

import sys

import click

from mailroom_runtime.errors import SettingError


def is_confirmed(what: str, hint: str) -> bool:
    """Print `what` would happen, ask the person at the terminal, and return whether the person agrees.

    Raises SettingError, with the hint, when stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        raise SettingError(what, hint)
    try:
        return click.confirm(f"{what}; go on?", err=True)
    except click.Abort:
        click.echo("", err=True)  # ends the line of the question
        raise
