"""Options and environment to settings; errors to one line on stderr and an exit status."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.url import DatabaseUrl, optional_url
from mailroom_runtime.settings.command_line import run
from mailroom_runtime.settings.options import (
    Decorator,
    Flag,
    FlagOption,
    Text,
    Whole,
    claim_descriptors,
    log_format,
    queue_name,
    warn_of_unknown_settings,
)
from mailroom_runtime.settings.program import program
from mailroom_runtime.settings.secret_setting import exposure
from mailroom_sender.address.base_url import checked_base_url
from mailroom_sender.address.from_address import ALLOWED, UnfitSource, domain_of, encode_source, is_public
from mailroom_sender.commands.command_list import COMMANDS
from mailroom_sender.log import log
from mailroom_sender.settings import SenderSettings

if TYPE_CHECKING:
    from mailroom_sender.delivery.ses_delivery import Delivery
    from mailroom_sender.input.action import KnownActions
    from mailroom_sender.ledger.connection import SharedConnection
    from mailroom_sender.output.rejected_rows import OutputFiles

_DAY_MS = 86_400_000
_HANG = 4
"""Times the patience with the database that the main loop may stand still: it waits for no more answers than three."""


class BaseUrl(click.types.StringParamType):
    """What the mails' links begin with."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the URL without a slash at its end. Raises click.BadParameter that says what is allowed."""
        try:
            return checked_base_url(value)
        except ValueError as error:
            self.fail(f"'{value}' is not allowed; give {error}", param, ctx)


class Source(click.types.StringParamType):
    """The From."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the From as SES takes it. Raises click.BadParameter that says what is wrong and what is allowed."""
        try:
            return encode_source(value)
        except UnfitSource as error:
            self.fail(f"'{value}' is not allowed: {error}; give {ALLOWED}", param, ctx)


# SES API reference, SendBulkTemplatedEmail: [A-Za-z0-9_-]; a set's name has at most 64.
_CONFIG_SET = Text("name", "[A-Za-z0-9_-]{1,64}", "1 to 64 of the characters A-Z a-z 0-9 _ -")


def _option(option: str, variable: str, kind: Any, default: Any, metavar: str, what: str) -> Decorator:
    # A flag may also stand alone: --debug is --debug true.
    alone: dict[str, Any] = {"is_flag": False, "flag_value": True, "cls": FlagOption} if isinstance(kind, Flag) else {}
    return click.option(
        option, type=kind, default=default, envvar=variable, show_envvar=True, show_default=True, metavar=metavar,
        help=what, **alone,
    )  # fmt: skip


@program(
    "mailroom-send",
    COMMANDS,
    epilog="With MAILROOM_DATABASE_URL (a secret, never an option) the sender tells the ledger what it sends, and "
    "sends nothing twice; without it, it says so. Credentials, region and endpoint are the AWS SDK's own.",
)
@queue_name
@_option("--debug", "MAILROOM_DEBUG", Flag(), False, "true|false", "Print every request, send nothing.")
@click.option(
    "--debug-format", type=click.Choice(["auto", "json", "text"]), default="auto", envvar="MAILROOM_DEBUG_FORMAT",
    show_envvar=True, show_default=True, metavar="auto|json|text",
    help="How requests are printed: json, exactly, one a line; text, each mail for a person to read; auto, text on a "
    "terminal, else json.",
)  # fmt: skip
@_option("--ses-config-set", "MAILROOM_SES_CONFIG_SET", _CONFIG_SET, "default", "NAME", "SES configuration set.")
@_option(
    "--ses-source", "MAILROOM_SES_SOURCE", Source(), "noreply@localhost", "ADDRESS",
    'From: an address, or Name <address>; "a, b" <address> if the name holds a comma.',
)  # fmt: skip
@_option(
    "--ses-output-path", "MAILROOM_SES_OUTPUT_PATH", click.Path(path_type=Path), "./output", "FOLDER",
    "Where SES's error responses go, and what could not be sent.",
)  # fmt: skip
@_option(
    "--ses-escape-html", "MAILROOM_SES_ESCAPE_HTML", Flag(), True, "true|false",
    "Escape & < > in the templates' login; login_text, for text and subject, never is.",
)  # fmt: skip
@_option(
    "--link-base-url", "MAILROOM_LINK_BASE_URL", BaseUrl(), None, "URL",
    "What links begin with: base_url in the templates; https, without a query. Unset, it and login_text are not sent.",
)  # fmt: skip
@_option("--ses-concurrency", "MAILROOM_SES_CONCURRENCY", Whole(1, 64), 4, "CALLS", "Most calls to SES at once.")
@_option(
    "--ses-max-rate", "MAILROOM_SES_MAX_RATE", Whole(1, 1_000_000), None, "RECIPIENTS",
    "Most recipients a second; unset, SES is asked.",
)  # fmt: skip
@_option(
    "--lease", "MAILROOM_LEASE", Whole(1000, _DAY_MS), 30_000, "MS",
    "How long a begun row is this sender's; a call is given up after half of it. In ms.",
)  # fmt: skip
@log_format(log)
@click.pass_context
def cli(  # noqa: PLR0913, PLR0917 - click hands over one argument for each option
    ctx: click.Context,
    database_url_file: str | None,
    schema_name: str | None,
    queue_name: str,
    debug: bool,
    debug_format: str,
    ses_config_set: str,
    ses_source: str,
    ses_output_path: Path,
    ses_escape_html: bool,
    link_base_url: str | None,
    ses_concurrency: int,
    ses_max_rate: int | None,
    lease: int,
) -> None:
    """Read lines of mailroom-collect from standard input and send them through AWS SES.

    Runs until its input ends, or until SIGTERM or SIGINT (exit status 0); 1 says that the input ended and a part of
    it was rejected or not sent, or that what was read could not be kept, 2 that a person must fix
    a setting, the database or AWS. With a command, does that instead.
    """
    warn_of_unknown_settings(log)
    is_sender = ctx.invoked_subcommand is None
    settings = SenderSettings(
        database_url=optional_url(database_url_file, os.environ, schema_name) if is_sender else None,
        queue_name=queue_name,
        debug=debug,
        debug_format=debug_format,
        config_set=ses_config_set,
        source=ses_source,
        output_path=ses_output_path,
        escape_html=ses_escape_html,
        link_base_url=link_base_url,
        concurrency=ses_concurrency,
        max_rate=ses_max_rate,
        lease_ms=lease,
    )
    if not is_sender:
        ctx.obj = settings, DatabaseUrl(database_url_file, os.environ, schema_name)
        return
    if told := exposure("MAILROOM_DATABASE_URL", database_url_file):
        log(told, "warning")
    claim_descriptors(0, "stdin", "pipe mailroom-collect into it, or name a file with <")
    if os.isatty(0):
        log("reading lines from the terminal, as nothing is piped in; Ctrl-D ends them")
    from mailroom_runtime.process.systemd import Notifier
    from mailroom_runtime.process.watchdog import Watchdog
    from mailroom_sender.input.action import KnownActions
    from mailroom_sender.input.stdin import LineInput
    from mailroom_sender.input.unknown_actions import UnknownActions
    from mailroom_sender.output.rejected_rows import OutputFiles
    from mailroom_sender.schedule.pace import Pace
    from mailroom_sender.sender import Sender

    known = KnownActions()
    setaside = OutputFiles(settings.output_path)
    database = None if settings.debug else _database(settings, known)
    delivery, ask_rate = _delivery(settings, setaside, database)
    # A preview keeps the order of its input.
    concurrency = 1 if settings.debug else settings.concurrency
    pace = Pace() if settings.max_rate is None else Pace(settings.max_rate)
    notifier = Notifier(os.environ)
    watchdog = Watchdog(_HANG * settings.patience, notifier, log)
    learning = UnknownActions(known, _ask_actions(settings, database, known))
    Sender(LineInput(0), delivery, setaside, database, concurrency, pace, ask_rate, learning, notifier, watchdog).run()


def _ask_actions(
    settings: SenderSettings, database: "SharedConnection | None", known: "KnownActions"
) -> Callable[[], None] | None:
    """Return what asks the database for its actions, if there is one; debug mode asks too, and acknowledges nothing."""
    if database is not None:
        return database.learn
    if settings.database_url is None:
        return None
    from mailroom_sender.ledger.connection import learn_once

    ask = partial(learn_once, settings.database_url, known, settings.patience)
    ask()
    return ask


def _database(settings: SenderSettings, known: "KnownActions") -> "SharedConnection | None":
    if settings.database_url is None:
        log("no MAILROOM_DATABASE_URL: nothing is acknowledged; what can't be sent goes to replay files", "warning")
        return None
    from mailroom_runtime.postgres.schema import check_schema
    from mailroom_sender.ledger.connection import SharedConnection
    from mailroom_sender.ledger.steps import ACKNOWLEDGE, STEP

    queue = settings.queue_name
    check = partial(check_schema, queue=queue, function=STEP)
    return SharedConnection(settings.database_url, ACKNOWLEDGE, (queue,), settings.patience, known, check)


def _delivery(
    settings: SenderSettings, setaside: "OutputFiles", database: "SharedConnection | None"
) -> "tuple[Delivery, Callable[[], float | str] | None]":
    """Return what delivers a batch, and what asks SES for its rate, if that is to be asked."""
    from mailroom_sender.delivery.ses_delivery import PreviewDelivery, SesDelivery
    from mailroom_sender.ledger.steps import DatabaseLedger, LedgerAlone, SenderLedger, not_sent_log
    from mailroom_sender.output.stdout import CallOutput
    from mailroom_sender.ses.client import SesClient
    from mailroom_sender.ses.request import Envelope

    envelope = Envelope(settings.source, settings.config_set, settings.escape_html, settings.link_base_url)
    report = CallOutput(1)
    if settings.debug:
        log(
            "debug: requests are printed, nothing is sent or acknowledged; what is printed is withheld from other"
            " pipelines of the queue until its collector ends, and counts as handed out where no sender acknowledges",
            "warning",
        )
        as_text = settings.debug_format == "text" or (settings.debug_format == "auto" and os.isatty(1))
        return PreviewDelivery(envelope, setaside, report, as_text=as_text), None
    if settings.link_base_url is None:
        log(
            "MAILROOM_LINK_BASE_URL is unset: templates that use base_url, as the shipped ones do, would not render,"
            " and SES would drop their mails in silence; set it (templates that do not use it pass it over)",
            "warning",
        )
    ses = SesClient(
        connections=settings.concurrency + 1,  # one for the question after the rate
        # Begin, the call and settle must fit into the lease.
        connect_timeout=settings.lease_ms / 6000,
        call_timeout=settings.lease_ms / 2000,
    )
    _check_source(settings.source, ses.endpoint)
    ledger: SenderLedger = LedgerAlone(setaside)
    not_sent = not_sent_log()
    if database is not None:
        ledger = DatabaseLedger(database, settings.queue_name, settings.lease_ms, not_sent)
    delivery = SesDelivery(ledger, ses, envelope, setaside, report, not_sent)
    return delivery, ses.max_send_rate if settings.max_rate is None else None


def _check_source(source: str, endpoint: str) -> None:
    """Say that AWS takes no mail from such a domain; what only acts as SES may. Raises SettingError."""
    from mailroom_sender.aws.session import is_of_aws

    if is_public(source):
        return
    told = f"MAILROOM_SES_SOURCE is {source}, and SES refuses every mail from {domain_of(source)}"
    if is_of_aws(endpoint):
        raise SettingError(told, "set it to an address of a domain that is verified in SES")
    log(f"{told}; {endpoint} is asked, as it may be none of AWS's", "warning")


def main() -> NoReturn:
    """Run the command; exit with 0, 1 or 2 (docs/settings.md)."""
    run(cli, "mailroom-send", log)
