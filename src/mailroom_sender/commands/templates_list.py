"""The command templates list."""

from pathlib import Path

import click

from mailroom_sender.commands.aws import aws_questions
from mailroom_sender.commands.stdout import print_line, style
from mailroom_sender.commands.templates_options import folder_option, read_templates
from mailroom_sender.texts.comparison import different_parts, state
from mailroom_sender.texts.push import in_ses


@click.command("list")
@folder_option
def list_(folder: Path | None) -> int:
    """Print each template's name, and whether SES has the same. Needs ses:GetTemplate."""
    ours = read_templates(folder)
    aws = aws_questions()
    width = max(len(template.name) for template in ours)
    for template in ours:
        theirs = in_ses(aws, template.name)
        is_same = theirs is not None and not different_parts(template, theirs)
        print_line(style(f"{template.name:<{width}}  {state(template, theirs)}", None if is_same else "yellow"))
    return 0
