"""The command migrate."""

import os

import click

from mailroom_collector.log import log
from mailroom_collector.operations.commands.confirmation import is_confirmed
from mailroom_collector.schema.lock_wait import LockWait
from mailroom_collector.schema.migrator import Migrator, owner_connection
from mailroom_runtime.postgres.url import required_url
from mailroom_runtime.settings.options import SCHEMA_NAME, Whole


@click.command()
@click.option(
    "--schema", type=SCHEMA_NAME, metavar="NAME",
    help="The schema for mailroom. It is created if it does not exist. If unset: MAILROOM_SCHEMA_NAME, or else the"
    " first schema of the search path.",
)  # fmt: skip
@click.option(
    "--to",
    "target",
    type=Whole(-1, 1_000_000),
    metavar="VERSION",
    help="Go up or down to VERSION. -1 removes everything, including all accounts and tokens.",
)
@click.option("--dry-run", is_flag=True, help="Only print which steps would run.")
@click.option("--yes", "is_sure", is_flag=True, help="Go down without asking.")
@click.pass_context
def migrate(ctx: click.Context, schema: str | None, target: int | None, dry_run: bool, is_sure: bool) -> None:
    """Bring the schema to the newest version, or to another one.

    MAILROOM_DATABASE_URL must name the role that owns the schema or may create it. The command never asks before it
    goes up. Going down loses data: the command says which data, and asks on a terminal. Without a terminal, give --yes.

    If the database has tables of your application, give mailroom its own schema: migrate --schema mailroom. Both
    programs then need MAILROOM_SCHEMA_NAME=mailroom. The command recognizes tables of other programs, and never
    changes them.

    Most steps lock some of mailroom's own tables, mostly for milliseconds (docs/upgrading.md has a table). Inserts of
    accounts and tokens wait for that time. If another transaction has locked such a table, each try waits for at most
    3 seconds, and so do the inserts behind it. After 10 tries the command names the sessions with the lock, and exits
    with 1.
    """
    url = required_url(ctx.obj[0], os.environ)
    with owner_connection(url) as connection:
        agree = None if is_sure else _agree_to_lose
        migrator = Migrator(connection, schema or ctx.obj[1], report=click.echo, warn=_log_wait)
        if not migrator.run(target, dry_run=dry_run, agree=agree):
            click.echo("nothing was changed", err=True)
            ctx.exit(1)


def _log_wait(wait: LockWait) -> None:
    log(
        str(wait),
        "warning",
        event="migration_waits",
        step=wait.step,
        holders=", ".join(wait.holder_names),
        tries=wait.tries,
        most_tries=wait.most_tries,
        retry_in_s=wait.pause_s,
    )


def _agree_to_lose(lost: str) -> bool:
    return is_confirmed(f"this removes {lost}", "give --yes to do it, or --dry-run to see the steps")
