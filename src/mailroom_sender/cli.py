"""The command mailroom-send: reads options and environment, and starts the sender or a command."""

import os
from pathlib import Path
from typing import Any, NoReturn

import click

from mailroom_runtime.postgres.url import DatabaseUrl, optional_url
from mailroom_runtime.settings.command_line import run
from mailroom_runtime.settings.options import (
    Decorator,
    Flag,
    FlagOption,
    Whole,
    log_format,
    open_standard_descriptors,
    queue_name,
    warn_of_unknown_settings,
)
from mailroom_runtime.settings.program import program
from mailroom_runtime.settings.secret_setting import readable_by_all
from mailroom_sender.commands.command_list import COMMANDS
from mailroom_sender.log import log
from mailroom_sender.option_types import CONFIG_SET, BaseUrl, Source
from mailroom_sender.settings import SenderSettings

_DAY_MS = 86_400_000


def _option(option: str, field: str, variable: str, kind: Any, default: Any, metavar: str, what: str) -> Decorator:
    """Return an option of the setting that SenderSettings has as `field`."""
    # A flag may have no value: --debug means --debug true.
    alone: dict[str, Any] = {"is_flag": False, "flag_value": True, "cls": FlagOption} if isinstance(kind, Flag) else {}
    return click.option(
        option, field, type=kind, default=default, envvar=variable, show_envvar=True, show_default=True,
        metavar=metavar, help=what, **alone,
    )  # fmt: skip


@program(
    "mailroom-send",
    COMMANDS,
    epilog="With MAILROOM_DATABASE_URL the sender records in the ledger what it sends. Without it, a crash may lose "
    "mails or repeat them. The URL is secret, so it is not an option. Credentials, region and endpoint are the AWS "
    "SDK's own settings.",
)
@queue_name
@_option("--debug", "debug", "MAILROOM_DEBUG", Flag(), False, "true|false", "Print every request, send nothing.")
@click.option(
    "--debug-format", "debug_format", type=click.Choice(["auto", "json", "text"]), default="auto",
    envvar="MAILROOM_DEBUG_FORMAT", show_envvar=True, show_default=True, metavar="auto|json|text",
    help="How requests are printed. json: the exact request, one a line. text: each mail, for a person to read. auto: "
    "text on a terminal, else json.",
)  # fmt: skip
@_option(
    "--ses-config-set", "config_set", "MAILROOM_SES_CONFIG_SET", CONFIG_SET, "default", "NAME", "SES configuration set."
)
@_option(
    "--ses-source", "source", "MAILROOM_SES_SOURCE", Source(), "noreply@localhost", "ADDRESS",
    'The From: an address, or Name <address>. If the name has a comma: "a, b" <address>.',
)  # fmt: skip
@_option(
    "--ses-output-path", "output_path", "MAILROOM_SES_OUTPUT_PATH", click.Path(path_type=Path), "./output", "FOLDER",
    "The folder for SES's error responses and for rows that could not be sent.",
)  # fmt: skip
@_option(
    "--ses-escape-html", "escape_html", "MAILROOM_SES_ESCAPE_HTML", Flag(), True, "true|false",
    "Escape & < > in the value login. The value login_text, for text and subject, is never escaped.",
)  # fmt: skip
@_option(
    "--link-base-url", "link_base_url", "MAILROOM_LINK_BASE_URL", BaseUrl(), None, "URL",
    "The beginning of links, base_url in the templates: https, without a query. If unset, base_url and login_text are"
    " not sent.",
)  # fmt: skip
@_option(
    "--ses-concurrency", "concurrency", "MAILROOM_SES_CONCURRENCY", Whole(1, 64), 4, "CALLS",
    "The largest number of calls to SES at once.",
)  # fmt: skip
@_option(
    "--ses-max-rate", "max_rate", "MAILROOM_SES_MAX_RATE", Whole(1, 1_000_000), None, "RECIPIENTS",
    "The largest number of recipients a second. If unset, senders ask SES for it, and divide it.",
)  # fmt: skip
@_option(
    "--lease", "lease_ms", "MAILROOM_LEASE", Whole(1000, _DAY_MS), 30_000, "MS",
    "How long the sender holds a begun row. A call to SES times out after half of it. In ms.",
)  # fmt: skip
@log_format(log)
@click.pass_context
def cli(ctx: click.Context, /, database_url_file: str | None, schema_name: str | None, **fields: Any) -> None:
    """Read lines of mailroom-collect from standard input and send them through AWS SES.

    It runs until its input ends, or until SIGTERM or SIGINT (exit status 0). Exit status 1 means that a part of the
    input was rejected or not sent, or could not be written to a file. Exit status 2 means that a person must fix a
    setting, the database or AWS. With a command, it runs that command instead.
    """
    warn_of_unknown_settings(log)
    if ctx.invoked_subcommand is not None:
        ctx.obj = SenderSettings(None, **fields), DatabaseUrl(database_url_file, os.environ, schema_name)
        return
    settings = SenderSettings(optional_url(database_url_file, os.environ, schema_name), **fields)
    if warning := readable_by_all("MAILROOM_DATABASE_URL", database_url_file):
        log(warning, "warning", event="secret_readable")
    open_standard_descriptors(0, "stdin", "pipe mailroom-collect into it, or name a file with <")
    if os.isatty(0):
        log("stdin is a terminal: reading the lines that you type; Ctrl-D ends them", event="reading_terminal")
    from mailroom_sender.assembly import sender  # noqa: PLC0415 - slow, and the commands need none of it

    sender(settings, os.environ).run()


def main() -> NoReturn:
    """Run the command; exit with 0, 1 or 2 (docs/settings.md)."""
    run(cli, "mailroom-send", log)
