"""The command mailroom-collect: reads options and environment, and starts the collector or a command."""

import os
from typing import NoReturn

import click

from mailroom_collector.log import log
from mailroom_collector.operations.commands.command_list import COMMANDS
from mailroom_collector.secret_key import read_secret_key, secret_key_file_option
from mailroom_collector.settings import CollectorSettings
from mailroom_runtime.postgres.url import required_url
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_runtime.settings.command_line import run
from mailroom_runtime.settings.options import (
    Decorator,
    Name,
    Whole,
    log_format,
    open_standard_descriptors,
    queue_name,
    warn_of_unknown_settings,
)
from mailroom_runtime.settings.program import program
from mailroom_runtime.settings.secret_setting import readable_by_all

_DAY_MS = 86_400_000
_EXAMPLES = {"--older-than": "90d", "--port": "9177", "--action": "activation"}
"""Example values of the required options."""
_HANG = 4
"""The main loop counts as hung after so many answer timeouts. In one round it waits for three answers at most."""
_STDOUT = 1


def _ms(option: str, variable: str, default: int, low: int, what: str) -> Decorator:
    return click.option(
        option, type=Whole(low, _DAY_MS), default=default, envvar=variable, show_envvar=True, show_default=True,
        metavar="MS", help=f"{what} In ms.",
    )  # fmt: skip


@program(
    "mailroom-collect",
    COMMANDS,
    epilog="Two required settings are secret, so they are not options: MAILROOM_DATABASE_URL and MAILROOM_SECRET_KEY. "
    "Set them in the environment or in a file.",
)
@secret_key_file_option
@click.option(
    "--channel-name", type=Name(), default="token_insert", envvar="MAILROOM_CHANNEL_NAME", show_envvar=True,
    show_default=True, metavar="NAME", help="A channel to LISTEN on, in addition to token_insert. 1 to 63 bytes.",
)  # fmt: skip
@queue_name
@_ms(
    "--healthcheck-interval", "MAILROOM_HEALTHCHECK_INTERVAL", 270_000, 1,
    "How long a connection may be idle before it is checked. Not less than the batch timeout.",
)  # fmt: skip
@_ms(
    "--batch-timeout", "MAILROOM_BATCH_TIMEOUT", 5000, 0,
    "How long a batch waits after its first notification. Then it is claimed even if it is not full.",
)  # fmt: skip
@click.option(
    "--batch-limit", type=Whole(1, 10_000), default=10, envvar="MAILROOM_BATCH_LIMIT", show_envvar=True,
    show_default=True, metavar="ROWS",
    help="The largest number of rows in a line. So many waiting rows end the wait for a batch early.",
)  # fmt: skip
@_ms(
    "--lease", "MAILROOM_LEASE", 30_000, 1000,
    "How long a process holds a claimed row without extending the lease. Then other processes may claim it.",
)  # fmt: skip
@log_format(log)
@click.pass_context
def cli(
    ctx: click.Context,
    database_url_file: str | None,
    schema_name: str | None,
    secret_key_file: str | None,
    channel_name: str,
    queue_name: str,
    healthcheck_interval: int,
    batch_timeout: int,
    batch_limit: int,
    lease: int,
) -> None:
    """Claim waiting tokens in PostgreSQL, sign them, and print them as CSV lines.

    It runs until SIGTERM or SIGINT (exit status 0), or until its reader goes away (1). Exit status 2 means that a
    person must fix a setting or the database. With a command, it runs that command instead.
    """
    warn_of_unknown_settings(log)
    if ctx.invoked_subcommand is not None:
        ctx.obj = database_url_file, schema_name, secret_key_file
        return
    settings = CollectorSettings(
        database_url=required_url(database_url_file, os.environ, schema_name),
        secret_key=read_secret_key(secret_key_file, os.environ),
        channel_name=channel_name,
        queue_name=queue_name,
        healthcheck_interval_ms=healthcheck_interval,
        batch_timeout_ms=batch_timeout,
        batch_limit=batch_limit,
        lease_ms=lease,
    )
    _warn_of_exposed_secrets(database_url_file, secret_key_file)
    open_standard_descriptors(1, "stdout", "pipe it into mailroom-send, or into a file with >")
    _warn_of_terminal()
    from mailroom_collector.assembly import build_collector  # noqa: PLC0415 - slow, and the commands need none of it

    notifier = Notifier(os.environ)
    watchdog = Watchdog(_HANG * settings.answer_timeout, notifier, log)
    build_collector(settings, _STDOUT, notifier, watchdog).run()


def _warn_of_exposed_secrets(database_url_file: str | None, secret_key_file: str | None) -> None:
    for name, file in (("MAILROOM_DATABASE_URL", database_url_file), ("MAILROOM_SECRET_KEY", secret_key_file)):
        if warning := readable_by_all(name, file):
            log(warning, "warning", event="secret_readable", setting=name)


def _warn_of_terminal() -> None:
    if os.isatty(_STDOUT):
        log(
            "stdout is a terminal: rows are claimed and printed here, with valid links, and nobody mails them. Other"
            " pipelines of the queue do not get these rows until this program ends. If no sender acknowledges, they"
            " count as handed out. Pipe stdout into mailroom-send; 'mailroom-collect status' shows what waits and"
            " claims nothing",
            "warning",
            event="stdout_is_terminal",
        )


def main() -> NoReturn:
    """Run the command; exit with 0, 1 or 2 (docs/settings.md)."""
    run(cli, "mailroom-collect", log, _EXAMPLES)
