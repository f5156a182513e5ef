"""Commands that are imported only when they run."""

import sys
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from mailroom_collector.cli import cli as collect
from mailroom_runtime.settings.lazy_group import LazyCommand, LazyGroup
from mailroom_sender.cli import cli as send

MODULE = "tests.unit.lazy_command"


def groups(command: click.Command) -> Iterator[LazyGroup]:
    """Yield a group and the groups in it."""
    if isinstance(command, LazyGroup):
        yield command
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from groups(inner)


@pytest.fixture
def group() -> Iterator[LazyGroup]:
    lazy = {
        "greet": LazyCommand(f"{MODULE}:greet", "Say hello."),
        "gone": LazyCommand("tests.unit.no_such_module:gone", "Nobody imports this."),
    }
    sys.modules.pop(MODULE, None)
    yield LazyGroup("program", lazy=lazy)
    sys.modules.pop(MODULE, None)


def test_list_and_completion_import_no_command(group: LazyGroup) -> None:
    """Both print the table's text, even of a command that can't be imported."""
    result = CliRunner().invoke(group, ["--help"])
    assert result.output.endswith("Commands:\n  gone   Nobody imports this.\n  greet  Say hello.\n")
    items = ShellComplete(group, {}, "program", "_PROGRAM_COMPLETE").get_completions([], "g")
    assert [(item.value, item.help) for item in items] == [("gone", "Nobody imports this."), ("greet", "Say hello.")]
    assert MODULE not in sys.modules


def test_command_is_imported_when_it_runs(group: LazyGroup) -> None:
    """It gets its own arguments. A mistyped name is refused."""
    result = CliRunner().invoke(group, ["greet", "--name", "Ann"])
    assert (result.exit_code, result.output) == (0, "hello Ann\n")
    assert MODULE in sys.modules
    assert CliRunner().invoke(group, ["great"]).exit_code == 2


@pytest.mark.parametrize("program", [collect, send], ids=["collect", "send"])
def test_list_says_what_each_command_says_of_itself(program: click.Command) -> None:
    """The summary of each command is the first sentence of its help."""
    for group in groups(program):
        shown = {name: stub.short_help for name, stub in LazyGroup(lazy=group.lazy).commands.items()}
        for name, summary in shown.items():
            command = group.get_command(click.Context(group), name)
            assert command is not None
            assert command.get_short_help_str(limit=200) == summary, name
