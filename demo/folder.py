"""The demo's folder .demo: its database, its key and a psql, kept for the next run."""

import os
import pwd
import secrets
import shlex
from pathlib import Path
from typing import Final

__all__ = ["DATA", "FOLDER", "PSQL", "refusal", "secret_key", "user_name", "write_psql"]

FOLDER: Final = Path(".demo")
DATA: Final = FOLDER / "postgres"
PSQL: Final = FOLDER / "psql"
_ELSEWHERE: Final = "Run it in a copy of the checkout that is your own."


def refusal(server_user: str) -> str:
    """Return why this user can't run the demo in its folder, or nothing. Creates the folder if it is missing.

    `server_user` is the user that runs the server and owns its data.
    """
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        return f"{FOLDER} can't be made here: {error.strerror}. {_ELSEWHERE}"
    if not os.access(FOLDER, os.W_OK | os.X_OK):
        return f"{FOLDER} belongs to {_owner(FOLDER)}, and you may not write there. {_ELSEWHERE}"
    if DATA.exists() and _owner(DATA) not in (server_user, user_name(os.geteuid())):
        return f"{DATA} belongs to {_owner(DATA)}, so the server can't use it as {server_user}. {_ELSEWHERE}"
    return ""


def secret_key() -> str:
    """Return the demo's own signing key, which is created once and kept."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "secret_key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()


def write_psql(program: Path, url: str) -> None:
    """Write a script that runs psql on the demo's database, so that people type a short command."""
    PSQL.write_text(f'#!/bin/sh\nexec {shlex.quote(str(program))} {shlex.quote(url)} "$@"\n')
    PSQL.chmod(0o755)


def _owner(path: Path) -> str:
    return user_name(path.stat().st_uid)


def user_name(number: int) -> str:
    """Return the name of a user, or the number if no name is known."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's
        return f"user {number}"
