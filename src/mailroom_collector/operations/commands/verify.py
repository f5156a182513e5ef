"""The command verify."""

import os
import sys
from typing import Final

import click

from mailroom_collector.ledger.steps import read_actions
from mailroom_collector.secret_key import read_secret_key
from mailroom_collector.sign.action import SHIPPED, Action
from mailroom_collector.sign.signature import FIELD_CHARACTERS, verify_token
from mailroom_runtime.errors import MailroomError, SettingError
from mailroom_runtime.postgres.connection import OPERATOR, connect
from mailroom_runtime.postgres.url import DatabaseUrl, required_url
from mailroom_runtime.words import counted

_TIMEOUT: Final = 10.0  # seconds for the database to answer
_LONGEST_FIELD: Final = 1000
"""The largest number of characters that are read. A secret field has far fewer."""


def _shipped_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names that a shell completes. A completion reads no database, so it knows no other actions."""
    return [name for name in ("activation", "password_recovery") if name.startswith(incomplete)]


def _action(name: str, database_url_file: str | None, schema: str | None) -> Action:
    """Return the action with that name: a shipped one, or one of the database. Raises SettingError."""
    shipped = {action.name: action for action in SHIPPED} | {"recovery": Action.PASSWORD_RECOVERY}
    if name in shipped:
        return shipped[name]
    if not (database_url_file or os.environ.get("MAILROOM_DATABASE_URL")):
        raise SettingError(
            f"--action: '{name}' is neither activation nor password_recovery",
            "for an action of your own, set MAILROOM_DATABASE_URL",
        )
    known = _own_actions(required_url(database_url_file, os.environ, schema))
    if name not in known:
        raise SettingError(f"--action: there is no '{name}' in mailroom_actions", f"give one of: {', '.join(known)}")
    return known[name]


def _own_actions(url: DatabaseUrl) -> dict[str, Action]:
    """Return the actions of the database by their names."""
    with connect(url, OPERATOR, _TIMEOUT) as connection:
        return {action.name: action for action in read_actions(connection)}


@click.command()
@click.option(
    "--action", "name", required=True, metavar="NAME", shell_complete=_shipped_names,
    help="What the link is for: activation, password_recovery, or an action of your own.",
)  # fmt: skip
@click.option("--code", metavar="DIGITS", help="The five digits that the user typed. Required for a recovery.")
@click.pass_obj
def verify(given: tuple[str | None, str | None, str | None], name: str, code: str | None) -> None:
    """Check the secret field of a link, read from standard input.

    The field has 86 characters. If its signature is valid, the command prints the token's secret as 64 hexadecimal
    digits, with which you find it in tokens.secret, and exits with 0. Else it exits with 1. It needs
    MAILROOM_SECRET_KEY, and for an action of your own also MAILROOM_DATABASE_URL.
    """
    database_url_file, schema, secret_key_file = given
    key = read_secret_key(secret_key_file, os.environ)
    action = _action(name, database_url_file, schema)
    if action.signs_code and code is None:
        raise SettingError("--code is missing", f"{name} is checked with the five digits that the user typed")
    field = _read_field(FIELD_CHARACTERS)
    secret = verify_token(field, action=action, key=key, code=code)
    if secret is None:
        raise MailroomError("the secret field is not valid: its signature does not match")
    click.echo(secret.hex())


def _read_field(characters: int) -> str:
    """Return the text of standard input. Raises MailroomError when its length is not that of a secret field."""
    if sys.stdin.isatty():
        click.echo("reading the secret field from the terminal; end it with Enter and Ctrl-D", err=True)
    field = sys.stdin.read(_LONGEST_FIELD).strip()
    if len(field) != characters:
        got = f"{_LONGEST_FIELD} or more" if len(field) >= _LONGEST_FIELD else len(field)
        raise MailroomError(
            f"this is not a secret field: one has {counted(characters, 'character')}, and this has {got}",
            "give only the secret field of the link",
        )
    return field
