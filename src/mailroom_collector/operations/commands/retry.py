"""The command retry."""

from typing import Final, NamedTuple

import click

from mailroom_collector.operations.commands.confirmation import is_confirmed
from mailroom_collector.operations.commands.options import choice_options
from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.figures import Choice, RetryResult, Unmatched
from mailroom_collector.operations.queries.failures import put_back, read_failures
from mailroom_collector.operations.queries.session import open_session
from mailroom_collector.operations.queries.unmatched import read_unmatched
from mailroom_collector.operations.text import delivery_list
from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.words import counted

_MANY: Final = 10
"""The largest number of deliveries that are put back without a question."""


@click.command()
@choice_options
@click.option(
    "--all", "is_all", is_flag=True, help="Everything that was not mailed. Required if no other choice is given."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--yes", "is_sure", is_flag=True, help=f"Put back more than {_MANY} without asking.")
@click.pass_context
def retry(ctx: click.Context, chosen: Choice, is_all: bool, dry_run: bool, is_sure: bool) -> None:
    """Put back what was not mailed, to be tried again at once.

    It puts back tokens that failed or were skipped, if they may still be mailed. It lists the others with the reason:
    the token has expired, it was consumed, or its account has another status now. A token that was sent is never put
    back. If SES accepted a mail and it got lost later, insert a new token. The command exits with 1 if a token that you
    named can't be put back.
    """
    if is_all == (chosen != Choice()):
        raise SettingError(
            "--all and another choice are both given" if is_all else "nothing is chosen",
            "give --all alone, or one or more of --token, --account, --reason, --since, --until",
        )
    url, queue = url_and_queue(ctx)
    with open_session(url, queue) as connection:
        candidates = _candidates(connection, queue, chosen)
        if not dry_run and not is_sure and not _is_wanted(len(candidates.tokens)):
            click.echo("nothing was put back", err=True)
            ctx.exit(1)
        results = [*candidates.refused, *put_back(connection, queue, candidates.tokens, dry_run=dry_run)]
    for line in delivery_list.verdicts(results, dry_run=dry_run):
        click.echo(line)
    if candidates.unmatched is not None:
        for words in delivery_list.unmatched(chosen, candidates.unmatched._replace(tokens=[])):
            click.echo(words, err=True)
    if chosen.tokens and any(one.refused for one in results):
        ctx.exit(1)


class _Candidates(NamedTuple):
    """The tokens to put back, the tokens that can't be put back, and what exists if nothing matched the choice."""

    tokens: list[int]
    refused: list[RetryResult]
    unmatched: Unmatched | None


def _candidates(connection: DeadlineConnection, queue: str, chosen: Choice) -> _Candidates:
    if chosen.tokens and chosen == Choice(chosen.tokens):
        return _Candidates(list(chosen.tokens), [], None)  # the database checks each token when it puts it back
    found = read_failures(connection, queue, chosen, None)
    unmatched = read_unmatched(connection, queue, chosen, found)
    return _Candidates(
        [one.token for one in found if one.stale is None],
        [*(RetryResult(one.token, one.stale) for one in found if one.stale is not None), *unmatched.tokens],
        unmatched,
    )


def _is_wanted(count: int) -> bool:
    """Ask before many deliveries are put back. Raises SettingError when there is no terminal."""
    if count <= _MANY:
        return True
    what = f"this puts back {counted(count, 'delivery', 'deliveries')}, to be tried again at once"
    return is_confirmed(what, "give --yes to do it, or --dry-run to see the tokens")
