"""The command templates diff."""

from pathlib import Path
from typing import Final

import click

from mailroom_runtime.log import escape
from mailroom_sender.commands.aws import aws_questions
from mailroom_sender.commands.stdout import print_line, style
from mailroom_sender.commands.templates_options import folder_option, names_argument, read_templates
from mailroom_sender.texts.comparison import difference
from mailroom_sender.texts.push import in_ses

_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
"""The key is the first character of a line."""


@click.command()
@folder_option
@names_argument
def diff(folder: Path | None, names: tuple[str, ...]) -> int:
    """Print what push would change in SES, as a unified diff.

    Exits with 1 if there is any difference, else with 0. Needs ses:GetTemplate.
    """
    ours = read_templates(folder, names)
    aws = aws_questions()
    lines = [line for template in ours for line in difference(template, in_ses(aws, template.name))]
    for line in lines:
        is_head = line.startswith(("--- ", "+++ "))
        print_line(style(escape(line), None if is_head else _COLOURS.get(line[:1]), bold=is_head))
    return int(bool(lines))
