"""Which database and queue a command is about."""

import os

import click

from mailroom_runtime.postgres.url import DatabaseUrl, required_url


def url_and_queue(ctx: click.Context) -> tuple[DatabaseUrl, str]:
    """Return both as the program's options give them. Raises SettingError."""
    given = ctx.find_root().params
    return required_url(given["database_url_file"], os.environ, given["schema_name"]), given["queue_name"]
