"""The database and queue of a command."""

import os

import click

from mailroom_runtime.postgres.url import DatabaseUrl, required_url


def url_and_queue(ctx: click.Context) -> tuple[DatabaseUrl, str]:
    """Return the database URL and the queue from the program's options. Raises SettingError."""
    given = ctx.find_root().params
    return required_url(given["database_url_file"], os.environ, given["schema_name"]), given["queue_name"]
