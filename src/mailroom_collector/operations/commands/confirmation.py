"""Asks a person before a step that is hard to undo."""

import sys

import click

from mailroom_runtime.errors import SettingError


def is_confirmed(what: str, hint: str) -> bool:
    """Print what would happen, and return whether a person on the terminal wants it.

    Raises SettingError, with the hint, when there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise SettingError(what, hint)
    try:
        return click.confirm(f"{what}; go on?", err=True)
    except click.Abort:
        click.echo("", err=True)  # ends the line of the question
        raise
