"""A group that imports a command only when it runs, so that --help and shell completion stay fast."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyCommand(NamedTuple):
    """The place of a command in the source, and its summary for the list of commands."""

    place: str
    """The module and the name in it: `package.module:command`."""
    summary: str
    """The first sentence of the command's own help."""


class LazyGroup(click.Group):
    """A group that knows the names and summaries of its commands, and imports a command to run it."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        """`lazy`: the commands by name. Further arguments are those of click.Group."""
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy)
        self._unloaded = set(lazy)
        # Placeholders, so that click can suggest a name for a mistyped one.
        self.commands.update({name: click.Command(name, short_help=one.summary) for name, one in lazy.items()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, and import it if that was not done yet."""
        if cmd_name in self._unloaded:
            module, _, name = self.lazy[cmd_name].place.partition(":")
            self.commands[cmd_name] = getattr(import_module(module), name)
            self._unloaded.remove(cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Offer the commands and options that begin with this text. No command is imported."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a completion needs it

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=self._summary(name)) for name in names),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def _summary(self, name: str) -> str:
        return self.commands[name].get_short_help_str(limit=200)
