"""The command templates push."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mailroom_runtime.errors import SettingError
from mailroom_sender.commands.aws import aws_questions
from mailroom_sender.commands.command_input import CommandInput
from mailroom_sender.commands.stdout import print_line
from mailroom_sender.commands.templates_options import (
    folder_option,
    names_argument,
    read_samples,
    read_templates,
)
from mailroom_sender.texts.push import TemplateChange, plan, refuse_unfit
from mailroom_sender.texts.push import push as push_changes


@click.command()
@folder_option
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--yes", is_flag=True, help="Don't ask before a template in SES is overwritten.")
@names_argument
@click.pass_obj
def push(given: CommandInput, folder: Path | None, dry_run: bool, yes: bool, names: tuple[str, ...]) -> int:
    """Upload templates to SES: all of them, or the named ones.

    Creates what is missing and updates what differs. Asks before it overwrites a template; without a terminal, give
    --yes. Refuses a template that needs a value that is not sent, or whose HTML uses login_text. Needs
    ses:GetTemplate, ses:CreateTemplate, ses:UpdateTemplate.
    """
    ours = read_templates(folder, names)
    refuse_unfit(ours, read_samples(given[0], given[0].link_base_url))
    aws = aws_questions()
    changes = plan(aws, ours)
    _print_conditions(changes)
    if dry_run:
        for change in changes:
            print_line(change.text)
        return 0
    for change in changes:
        if change.action == "UpdateTemplate" and not yes:
            _ask(change.text)
    push_changes(aws, changes, print_line)
    return 0


def _print_conditions(changes: Sequence[TemplateChange]) -> None:
    for change in changes:
        for condition in change.conditions:
            text = f"{change.template.name}: push it only when {condition}, or SES drops mails without an error"
            click.echo(text, err=True)


def _ask(change: str) -> None:
    if not sys.stdin.isatty():
        raise SettingError(f"{change}: not done", "see 'mailroom-send templates diff', then push with --yes")
    click.confirm(f"{change}?", abort=True, err=True)
