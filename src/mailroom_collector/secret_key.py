"""Reads the secret key, and defines its option."""

from collections.abc import Mapping
from typing import Final

import click

from mailroom_collector.settings import parse_key
from mailroom_runtime.settings.options import Decorator
from mailroom_runtime.settings.secret_setting import required_secret

_WANTED: Final = "64 hexadecimal digits"

secret_key_file_option: Decorator = click.option(
    "--secret-key-file", type=click.Path(readable=False), envvar="MAILROOM_SECRET_KEY_FILE", show_envvar=True,
    metavar="FILE",
    help="A file that holds the secret key.",
)  # fmt: skip


def read_secret_key(file: str | None, environ: Mapping[str, str]) -> bytes:
    """Return the key, from the file if one is given, else from the environment. Raises SettingError."""
    return parse_key(required_secret("MAILROOM_SECRET_KEY", file, environ, _WANTED))
