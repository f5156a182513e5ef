"""The command show."""

import json
import re
from collections.abc import Sequence
from typing import Final

import click

from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.figures import AccountHistory
from mailroom_collector.operations.queries.histories import Subject, read_histories, read_pause
from mailroom_collector.operations.queries.session import open_session
from mailroom_collector.operations.terminal.style import stdout_style
from mailroom_collector.operations.text.history_json import history_json
from mailroom_collector.operations.text.history_text import history_text
from mailroom_runtime.errors import MailroomError, SettingError
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.settings.options import Whole
from mailroom_runtime.words import is_storable, visible

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_MESSAGE_ID = re.compile(r"<?([0-9A-Za-z]+(?:-[0-9A-Za-z]+){3,})(?:@[a-z0-9.-]*amazonses\.com)?>?", re.ASCII)
"""SES's message id, alone or as the header Message-ID of a mail has it."""
_ANYTHING: Final = "account, token or mail"
_HINTS: Final = {
    Subject.TOKEN: "a token is deleted together with its account; for an account with this id, give --account",
    Subject.ACCOUNT: "the application may have stored the address in another form, such as Ann@ for ann@",
    Subject.MESSAGE: "it may be of another queue (MAILROOM_QUEUE_NAME), or prune has removed it",
}


@click.command()
@click.argument("who", metavar="WHO|TOKEN|MESSAGE-ID")
@click.option("--account", "subject", flag_value="account", help="Read it as the id, login or address of an account.")
@click.option("--token", "subject", flag_value="token", help="Read it as the id of a token.")
@click.option("--message", "subject", flag_value="message", help="Read it as a message id of SES.")
@click.option(
    "--limit", type=Whole(1, 1000), default=5, show_default=True, metavar="ROWS",
    help="The largest number of tokens to show of an account.",
)  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object for each account, for programs.")
@click.pass_context
def show(ctx: click.Context, who: str, subject: str | None, limit: int, is_json: bool) -> None:
    """Show what became of the mails of a person, of one token, or of one mail.

    WHO is the login, the address or the id of an account. For each token, newest first, the command shows its times,
    its delivery and the next step. A number is the id of a token. If there is no such token, it is the id of
    an account. A message id is what SES returned, or the header Message-ID of the mail. The search for a message id may
    read the whole ledger. The command shows no secret and no code. It exits with 1 if nothing is found.
    """
    if not who.strip() or not is_storable(who):
        what = "is not valid text" if who.strip() else "is empty"
        raise SettingError(f"WHO {what}", "give a login, an address, the id of an account or token, or a message id")
    url, queue = url_and_queue(ctx)
    chosen = Subject(subject) if subject else None
    with open_session(url, queue) as connection:
        histories = _find(connection, queue, who.strip(), chosen, limit)
        pause = read_pause(connection, queue)
    if is_json:
        for one in histories:
            click.echo(json.dumps(history_json(one, pause)))
        return
    style = stdout_style()
    for line in history_text(histories, pause, style.columns):
        click.echo(style.line(line))


def _find(
    connection: DeadlineConnection, queue: str, who: str, chosen: Subject | None, limit: int
) -> Sequence[AccountHistory]:
    """Return what the text names. Raises MailroomError if it names nothing."""
    for subject in [chosen] if chosen else _candidates(who):
        whose = _message_id(who) if subject is Subject.MESSAGE else who
        histories = read_histories(connection, queue, subject, whose, limit)
        if histories:
            if (
                chosen is None
                and subject is Subject.TOKEN
                and read_histories(connection, queue, Subject.ACCOUNT, who, 0)
            ):
                click.echo(
                    f"there is also an account {who}; see it with: mailroom-collect show {who} --account", err=True
                )
            return histories
    what = f"no {chosen.value}" if chosen else f"no {_ANYTHING} with the id, login or address"
    hint = _HINTS[chosen or (Subject.MESSAGE if Subject.MESSAGE in _candidates(who) else Subject.ACCOUNT)]
    raise MailroomError(f"there is {what} '{visible(who)}'", hint)


def _candidates(who: str) -> list[Subject]:
    """Return what the text may name, the likeliest first."""
    if _ID.fullmatch(who):
        return [Subject.TOKEN, Subject.ACCOUNT]
    return [Subject.ACCOUNT, Subject.MESSAGE] if _MESSAGE_ID.fullmatch(who) else [Subject.ACCOUNT]


def _message_id(who: str) -> str:
    found = _MESSAGE_ID.fullmatch(who)
    return found[1] if found else who
