"""The place and the summary of each command. With it, --help needs no import of the commands."""

from typing import Final

from mailroom_runtime.settings.lazy_group import LazyCommand

_HERE: Final = "mailroom_sender.commands"
COMMANDS: Final = {
    "check": LazyCommand(f"{_HERE}.check:check", "Check whether everything is ready to send."),
    "templates": LazyCommand(f"{_HERE}.templates:templates", "See and change the mails' texts, here and in SES."),
}
"""The key is the name of the command."""
TEMPLATES: Final = {
    "diff": LazyCommand(f"{_HERE}.templates_diff:diff", "Print what push would change in SES, as a unified diff."),
    "list": LazyCommand(f"{_HERE}.templates_list:list_", "Print each template's name, and whether SES has the same."),
    "preview": LazyCommand(f"{_HERE}.templates_preview:preview", "Write what the mails look like to files."),
    "push": LazyCommand(f"{_HERE}.templates_push:push", "Upload templates to SES: all of them, or the named ones."),
}
"""The commands of the group templates. The key is the name of the command."""
