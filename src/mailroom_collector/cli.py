"""Options and environment to settings; errors to one line on stderr and an exit status."""

import os
import sys
from typing import NoReturn

import click

from mailroom_collector.log import log
from mailroom_collector.operations.commands.all import COMMANDS
from mailroom_collector.operations.commands.confirmation import agreed
from mailroom_collector.settings import CollectorSettings, parse_key
from mailroom_collector.sign.action import SHIPPED, Action
from mailroom_runtime.errors import MailroomError, SettingError
from mailroom_runtime.postgres.url import required_url
from mailroom_runtime.settings.options import (
    SCHEMA_NAME,
    Decorator,
    Name,
    Whole,
    claim_descriptors,
    database_url_file,
    log_format,
    schema_name,
    warn_of_unknown_settings,
)
from mailroom_runtime.settings.secret_setting import exposure, required_secret
from mailroom_runtime.words import counted

_DAY_MS = 86_400_000
_HANG = 4
"""Times the patience with the database that the main loop may stand still: it waits for no more answers than three."""
_VERIFY_PATIENCE = 10.0  # seconds for the database to answer
_KEY_WANTED = "64 hexadecimal digits"
_LONGEST_FIELD = 1000
"""Characters that are read of a secret field; it has far fewer."""
_EXAMPLES = {"--older-than": "90d", "--port": "9177", "--action": "activation"}
"""Of the options that have to be given."""


def _ms(option: str, variable: str, default: int, low: int, what: str) -> Decorator:
    return click.option(
        option, type=Whole(low, _DAY_MS), default=default, envvar=variable, show_envvar=True, show_default=True,
        metavar="MS", help=f"{what} In ms.",
    )  # fmt: skip


_secret_key_file: Decorator = click.option(
    "--secret-key-file", type=click.Path(readable=False), envvar="MAILROOM_SECRET_KEY_FILE", show_envvar=True,
    metavar="FILE",
    help="A file that holds the secret key.",
)  # fmt: skip


def _secret_key(file: str | None) -> bytes:
    return parse_key(required_secret("MAILROOM_SECRET_KEY", file, os.environ, _KEY_WANTED))


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Two settings are secret and never options: MAILROOM_DATABASE_URL and MAILROOM_SECRET_KEY, both required, "
    "in the environment or in a file.",
)
@click.version_option(package_name="mailroom", prog_name="mailroom-collect")
@database_url_file
@schema_name
@_secret_key_file
@click.option(
    "--channel-name", type=Name(), default="token_insert", envvar="MAILROOM_CHANNEL_NAME", show_envvar=True,
    show_default=True, metavar="NAME", help="A channel to LISTEN on, beside token_insert. 1 to 63 bytes.",
)  # fmt: skip
@click.option(
    "--queue-name", type=Name(), default="mailroom", envvar="MAILROOM_QUEUE_NAME", show_envvar=True,
    show_default=True, metavar="NAME", help="Which row of jobs. 1 to 63 bytes.",
)  # fmt: skip
@_ms(
    "--healthcheck-interval", "MAILROOM_HEALTHCHECK_INTERVAL", 270_000, 1,
    "How long a connection may be idle before it is checked; not less than the batch timeout.",
)  # fmt: skip
@_ms(
    "--batch-timeout", "MAILROOM_BATCH_TIMEOUT", 5000, 0,
    "How long after its first notification a batch is taken anyway.",
)  # fmt: skip
@click.option(
    "--batch-limit", type=Whole(1, 10_000), default=10, envvar="MAILROOM_BATCH_LIMIT", show_envvar=True,
    show_default=True, metavar="ROWS",
    help="Most rows in one line, and the number of waiting rows that ends the wait early.",
)  # fmt: skip
@_ms("--lease", "MAILROOM_LEASE", 30_000, 1000, "How long a claimed row waits for a sign of life of its holder.")
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
    """Take waiting tokens from PostgreSQL, sign them, and print them as CSV lines.

    Runs until SIGTERM or SIGINT (exit status 0) or until its reader goes away (1); 2 says
    that a person must fix a setting or the database. With a command, does that instead.
    """
    warn_of_unknown_settings(log)
    if ctx.invoked_subcommand is not None:
        ctx.obj = database_url_file, schema_name, secret_key_file
        return
    settings = CollectorSettings(
        database_url=required_url(database_url_file, os.environ, schema_name),
        secret_key=_secret_key(secret_key_file),
        channel_name=channel_name,
        queue_name=queue_name,
        healthcheck_interval_ms=healthcheck_interval,
        batch_timeout_ms=batch_timeout,
        batch_limit=batch_limit,
        lease_ms=lease,
    )
    for name, file in (("MAILROOM_DATABASE_URL", database_url_file), ("MAILROOM_SECRET_KEY", secret_key_file)):
        if told := exposure(name, file):
            log(told, "warning")
    claim_descriptors(1, "stdout", "pipe it into mailroom-send, or into a file with >")
    if os.isatty(1):
        log(
            "stdout is a terminal: rows are claimed and printed here, with live links, and nobody mails them. What is"
            " printed is withheld from other pipelines of the queue until this ends, and counts as handed out where no"
            " sender acknowledges. Pipe it into mailroom-send; 'mailroom-collect status' shows what waits and claims"
            " nothing",
            "warning",
        )
    from mailroom_collector.collector import Collector
    from mailroom_collector.output.stdout import LineOutput
    from mailroom_runtime.process.systemd import Notifier
    from mailroom_runtime.process.watchdog import Watchdog

    notifier = Notifier(os.environ)
    watchdog = Watchdog(_HANG * settings.patience, notifier, log)
    Collector(settings, LineOutput(1), notifier, watchdog).run()


@cli.command()
@click.option(
    "--schema", type=SCHEMA_NAME, metavar="NAME",
    help="The schema that mailroom is in, or is to be in; made if it is not there. Unset, MAILROOM_SCHEMA_NAME, or"
    " else the first one of the search path.",
)  # fmt: skip
@click.option(
    "--to",
    "target",
    type=Whole(-1, 1_000_000),
    metavar="VERSION",
    help="Go up or down to VERSION; -1 removes everything, with all accounts and tokens.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be run.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask before going down.")
@click.pass_context
def migrate(ctx: click.Context, schema: str | None, target: int | None, dry_run: bool, is_sure: bool) -> None:
    """Bring the schema to the newest version, or to another one.

    Needs MAILROOM_DATABASE_URL, with the role that owns the schema, or may create it. Going up never asks. Going
    down loses what the version has stored: it says what, asks on a terminal, and needs --yes without one.

    Beside an application's own tables, give mailroom a schema of its own: migrate --schema mailroom. Both programs
    then need MAILROOM_SCHEMA_NAME=mailroom. What is another program's is recognized and never touched.

    Most steps lock some of mailroom's own tables, mostly for milliseconds (docs/upgrading.md has a table); inserts of
    accounts and tokens wait meanwhile. While another transaction holds such a table, each try waits for 3 seconds at
    most, and inserts wait behind it for no longer. After 10 tries it says who is in the way, and exits with 1.
    """
    url = required_url(ctx.obj[0], os.environ)
    from mailroom_collector.schema.migrator import Migrator, as_owner

    with as_owner(url) as connection:
        agree = None if is_sure else _agree_to_lose
        migrator = Migrator(connection, schema or ctx.obj[1], tell=click.echo, warn=lambda text: log(text, "warning"))
        if not migrator.run(target, dry_run=dry_run, agree=agree):
            click.echo("nothing was changed", err=True)
            ctx.exit(1)


def _agree_to_lose(lost: str) -> bool:
    return agreed(f"this removes {lost}", "give --yes if that is wanted, or see with --dry-run what it would run")


def _shipped_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return what a shell completes; it must not ask a database for the others."""
    return [name for name in ("activation", "password_recovery") if name.startswith(incomplete)]


def _action(name: str, database_url_file: str | None, schema: str | None) -> Action:
    """Return the action of that name: one that comes with mailroom, or one of the database."""
    shipped = {action.name: action for action in SHIPPED} | {"recovery": Action.PASSWORD_RECOVERY}
    if name in shipped:
        return shipped[name]
    if not (database_url_file or os.environ.get("MAILROOM_DATABASE_URL")):
        raise SettingError(
            f"--action: '{name}' is neither activation nor password_recovery",
            "to look for an action of your own, set MAILROOM_DATABASE_URL",
        )
    url = required_url(database_url_file, os.environ, schema)
    from mailroom_collector.ledger.steps import read_actions
    from mailroom_runtime.postgres.connection import OPERATOR, connect

    with connect(url, OPERATOR, _VERIFY_PATIENCE) as connection:
        known = {action.name: action for action in read_actions(connection)}
    if name not in known:
        raise SettingError(f"--action: there is no '{name}' in mailroom_actions", f"give one of: {', '.join(known)}")
    return known[name]


@cli.command()
@click.option(
    "--action", "name", required=True, metavar="NAME", shell_complete=_shipped_names,
    help="What the link is for: activation, password_recovery, or an action of your own.",
)  # fmt: skip
@click.option("--code", metavar="DIGITS", help="The five digits that the user typed, for a recovery.")
@click.pass_obj
def verify(given: tuple[str | None, str | None, str | None], name: str, code: str | None) -> None:
    """Check the secret field of a link, read from standard input.

    That is 86 characters, as the link has them. Prints the token's secret as 64 hexadecimal digits, by which it
    is found in tokens.secret, and exits with 0 when the signature is right; else exits with 1. Needs
    MAILROOM_SECRET_KEY, and for an action of your own also MAILROOM_DATABASE_URL.
    """
    database_url_file, schema, secret_key_file = given
    key = _secret_key(secret_key_file)
    from mailroom_collector.sign.signature import FIELD_CHARACTERS, verify_token

    action = _action(name, database_url_file, schema)
    if action.signs_code and code is None:
        raise SettingError("--code is missing", f"{name} is checked with the five digits that the user typed")
    field = _read_field(FIELD_CHARACTERS)
    secret = verify_token(field, action=action, key=key, code=code)
    if secret is None:
        raise MailroomError("the token is not valid: its signature does not fit")
    click.echo(secret.hex())


def _read_field(characters: int) -> str:
    """Return what standard input has. Raises MailroomError when it can't be a secret field, as of its length."""
    if sys.stdin.isatty():
        click.echo("reading the secret field from the terminal; end it with Enter and Ctrl-D", err=True)
    field = sys.stdin.read(_LONGEST_FIELD).strip()
    if len(field) != characters:
        got = f"{_LONGEST_FIELD} or more" if len(field) >= _LONGEST_FIELD else len(field)
        raise MailroomError(
            f"this is no secret field: {counted(characters, 'character')} are expected, got {got}",
            "give the link's field alone",
        )
    return field


for command in COMMANDS:
    cli.add_command(command)


def _explain(error: click.UsageError) -> str:
    """Return one line that names the variable and the option that are wrong, and the help that tells more."""
    path = "mailroom-collect" if error.ctx is None else error.ctx.command_path
    see = f"See '{path} --help'."
    if isinstance(error, click.BadParameter) and error.param is not None:
        option = next(iter(error.param.opts), "")
        if isinstance(error, click.MissingParameter):
            return f"give {option}, such as {_EXAMPLES.get(option, error.param.make_metavar(_context(error)))}. {see}"
        names = [error.param.envvar] if isinstance(error.param.envvar, str) else []
        text = f"{' / '.join([*names, option])}: {error.message}"
        return text if error.ctx is None or error.ctx.parent is None else f"{_ended(text)} {see}"
    return f"{_ended(error.format_message())} {see}"


def _context(error: click.UsageError) -> click.Context:
    return error.ctx or click.Context(cli)


def _ended(text: str) -> str:
    """Return text as a sentence that has ended."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def main() -> NoReturn:
    """Run the command; exit with 0, 1 or 2 as the README's table says."""
    try:
        status = cli.main(prog_name="mailroom-collect", standalone_mode=False) or 0
    except click.UsageError as error:
        log(_explain(error), "error")
        status = 2
    except MailroomError as error:
        log(str(error), "error")
        status = error.status
    except (click.Abort, KeyboardInterrupt):
        status = 130
    sys.exit(status)
